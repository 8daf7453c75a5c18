; Start-up of both cartridges, the header, and what C cannot say.
; No interrupt is ever taken (IME stays 0): the loop halts until a flag in IF is set.

	.module crt0
	.globl	_main
	.globl	_wait_for
	.globl	_copy_sprites
	.globl	_read_keys
	.globl	_copy_row

	.area	_HEADER (ABS)
	.org	0x0100
	nop
	jp	start
	.org	0x0150			; the header proper is filled in by build.py
start:
	di
	ld	sp, #0xDFFF
	xor	a
	ldh	(0x26), a		; sound off
	ldh	(0x0F), a
	ld	hl, #0xC000		; all of the work RAM to 0
clear:
	xor	a
	ld	(hl+), a
	ld	a, h
	cp	#0xDF
	jr	nz, clear
	jp	_main

; void wait_for(u8 flag): until the flag (in A) is set in IF; takes it away. One that is set
; already is taken at once, so that no frame is lost.
_wait_for:
	ld	b, a
	ldh	(0xFF), a		; wakes for this one only
1$:	ldh	a, (0x0F)
	and	b
	jr	nz, 2$
	halt
	nop
	jr	1$
2$:	ldh	a, (0x0F)
	xor	b
	ldh	(0x0F), a
	ret

; void copy_sprites(u8 bytes): from 0xC000 to the sprite table, in VBlank.
_copy_sprites:
	ld	b, a
	ld	hl, #0xC000
	ld	de, #0xFE00
3$:	ld	a, (hl+)
	ld	(de), a
	inc	e
	dec	b
	jr	nz, 3$
	ret

; void copy_row(const u8 *from, u8 *to): ten bytes, quickly enough for VBlank.
_copy_row:
	ld	h, b
	ld	l, c
	.rept	10
	ld	a, (de)
	ld	(hl+), a
	inc	de
	.endm
	ret

; u8 read_keys(void): bit 0 A, 1 B, 2 select, 3 start, 4 right, 5 left, 6 up, 7 down.
_read_keys:
	ld	a, #0x20
	ldh	(0x00), a
	ldh	a, (0x00)
	ldh	a, (0x00)
	cpl
	and	#0x0F
	swap	a
	ld	b, a
	ld	a, #0x10
	ldh	(0x00), a
	ldh	a, (0x00)
	ldh	a, (0x00)
	ldh	a, (0x00)
	ldh	a, (0x00)
	cpl
	and	#0x0F
	or	b
	ld	b, a
	ld	a, #0x30
	ldh	(0x00), a
	ld	a, b
	ret

	.area	_CODE
	.area	_DATA
