"""How the parts of a run talk: a checked wire, sockets, inference pools, versioned weights.

Nothing here knows a game or a network: it moves named tensors (numpy arrays) between processes and
calls the functions it was handed.

======================  ==================================================================
``transport.wire``      messages: encode, check, decode
``transport.sockets``   ZeroMQ sockets that are bounded, local unless keyed, and easy to find
``transport.endpoints`` where the parts of a run are: by files, given addresses, a mirror
``transport.registry``  tells other machines where they are
``transport.binding``   where the parts of a run listen
``transport.keys``      CURVE keys: made, kept in files, for one role each
``transport.door``      who comes in, who is shut out, and how both sides hear why
``transport.listeners`` listening sockets: made, renewed and closed together
``transport.schedules`` which request meets which worker, and when
``transport.pool``      leases and retries, without a socket or a clock
``transport.ledger``    shows that every request of a pool has exactly one outcome
``transport.broker``    the pool behind sockets
``transport.survey``    several brokers of a pool: how they are, and which to go to
``transport.worker``    serves a function to a pool
``transport.client``    calls a pool or a service
``transport.service``   serves functions that must run exactly once, from one process
``transport.weights``   versioned weights, published and subscribed
``transport.realtime``  frames of a world that does not wait: pacing, playout, what was fresh
``transport.launch``    processes that start, stop and die together
``transport.processes`` what one of them is told, and how it is started on this machine
``transport.cluster``   the same, placed on the machines of a Ray cluster
``transport.berth``     the parent of a process that was placed, on its machine
``transport.child``     one of them: plays a role and ends with its run
``transport.claim``     one run at a time in a folder
``transport.signals``   SIGTERM and SIGINT as a flag that is asked
``transport.metrics``   what a process counts and measures
``transport.exporter``  offers that to Prometheus: one exporter a process
======================  ==================================================================
"""
