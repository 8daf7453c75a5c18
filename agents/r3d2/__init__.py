"""R3D2: a recurrent agent that reads what it observes and scores what it may say."""
