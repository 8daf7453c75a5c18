/* PARCELS: two consoles on a link cable, a crane each, and what each should know is on the other's
 * screen.
 *
 * Eight rows above four bins hangs a parcel; its stamp (white or black, round or square) says which
 * bin is its own, and only the partner's screen shows it. To tell the colour or the shape costs a
 * spark; a parcel that lands where it belongs earns its teller one.
 *
 * A byte a frame goes each way, and it says how things are, never what has just happened: one that
 * is lost or heard twice changes nothing.
 *   bits 0-1 my crane's lane          bit 4 parity of the partner's parcel that bits 2-3 speak of
 *   bit 2    I told the colour        bit 5 parity of my own parcel's number
 *   bit 3    I told the shape         bit 6 whether my last parcel was right
 *   bit 7    not playing (nothing plugged in reads as 255)
 */
#include "generated.h"
#include "console.h"

#define ROWS 8
#define MOST 48 /* parcels a seat */
#define SILENT 0xFF
#define THEIRS 10 /* columns from my half of the screen to the partner's */

/* Sprites of one half: crate, stamp, crane. */
#define SPRITES_A_SIDE 9
#define STAMP 4
#define CRANE 5

static u8 stamps[2][MOST];
static u8 parcels, pace, sorted[2], colour_shown, shape_shown, sparks_shown, theirs_shown;
static u8 x_shown[2], y_shown[2], stamp_shown[2], scored, ended, moved;
static u8 their_row, their_wait;

static void set_side(u8 first, u8 part) {
    sprites[first + part].tile = T_CRATE + part;
    sprites[first + CRANE + part].tile = T_CRANE + part;
    sprites[first + CRANE + part].y = 3 * 8 + 16 + (part & 2 ? 8 : 0);
}

static u8 stamp_of(u8 seat, u8 number) {
    return number < parcels ? stamps[seat][number] : 0;
}

static void put_text(u8 *at, const char *text) {
    while (*text)
        put(at++, glyph(*text++));
}

static void begin(void) {
    u8 i;
    pace = ram_pace < 2 ? 2 : ram_pace;
    parcels = ram_parcels < 1 || ram_parcels > MOST ? 12 : ram_parcels;
    shuffle(ram_seed);
    for (i = 0; i != 4; i++) /* the first few come from too few of the seed's bits */
        roll();
    for (i = 0; i != parcels; i++) {
        u8 chance = roll();
        stamps[0][i] = chance & 3;
        stamps[1][i] = (chance >> 4) & 3;
    }
    ram_ticks = 0;
    ram_lane = ram_their_lane = 1;
    ram_row = their_row = 0;
    ram_wait = their_wait = 1;
    ram_number = ram_their_number = ram_right = ram_their_right = 0;
    ram_last = ram_their_last = 0xFF;
    ram_sparks = ram_their_sparks = ram_sparks_given > 9 ? 9 : ram_sparks_given;
    ram_told = ram_told_stamp = ram_i_told = 0;
    ram_stamp = stamp_of(ram_seat, 0);
    ram_their_stamp = stamp_of(ram_seat ^ 1, 0);
    for (i = 0; i != 2; i++) {
        sorted[i] = 0;
        y_shown[i] = 0;
    }
    colour_shown = shape_shown = 0xFF;
    stamp_shown[0] = stamp_shown[1] = 0xFF;
    scored = 1;
    ended = 0;
    put_text(SCREEN(1, 17), "A COLOUR  B SHAPE");
    for (i = 0; i != 4; i++) {
        set_side(0, i);
        set_side(SPRITES_A_SIDE, i);
    }
    ram_phase = PLAYING;
}

static void say(void) {
    u8 byte = SILENT;
    if (ram_phase == PLAYING || ram_phase == OVER) {
        byte = ram_lane | (u8)(ram_i_told << 2);
        if (ram_their_number & 1)
            byte |= 0x10;
        if (ram_number & 1)
            byte |= 0x20;
        if (ram_last == 1)
            byte |= 0x40;
    }
    SB = byte;
    SC = ram_seat ? 0x80 : 0x81; /* seat 0 clocks the cable */
}

static void earn(u8 right) {
    if (right) {
        scored = 1;
        count(sorted, 2, 1);
    }
}

/* In VBlank, when the byte of this frame is here. */
static void hear(u8 byte) {
    u8 told;
    if (byte & 0x80 || ram_phase != PLAYING)
        return;
    ram_their_lane = byte & 3;
    if (((byte >> 5) ^ ram_their_number) & 1) { /* their parcel has landed */
        ram_their_number++;
        ram_their_last = (byte >> 6) & 1;
        if (ram_their_last) {
            ram_their_right++;
            if (ram_sparks != 9)
                ram_sparks++;
        }
        earn(ram_their_last);
        ram_i_told = 0;
        ram_their_stamp = stamp_of(ram_seat ^ 1, ram_their_number);
        their_row = 0;
        their_wait = pace;
    }
    told = (byte >> 2) & 3;
    if (((byte >> 4) ^ ram_number) & 1)
        told = 0; /* of the parcel before this one */
    told &= ~ram_told;
    if (told) {
        ram_told |= told;
        ram_told_stamp = ram_stamp & ram_told;
        if (told & 1)
            ram_their_sparks--;
        if (told & 2)
            ram_their_sparks--;
    }
}

static void tell(u8 what) {
    if (ram_sparks && !(ram_i_told & what) && ram_their_number != parcels) {
        ram_sparks--;
        ram_i_told |= what;
    }
}

static void land(void) {
    u8 right = ram_lane == ram_stamp;
    ram_last = right;
    if (right) {
        ram_right++;
        if (ram_their_sparks != 9)
            ram_their_sparks++;
    }
    earn(right);
    ram_number++;
    ram_row = 0;
    ram_told = ram_told_stamp = 0;
    ram_stamp = stamp_of(ram_seat, ram_number);
    y_shown[0] = 0;
}

static void play(void) {
    ram_ticks++;
    if (ram_number != parcels) {
        if (pressed & KEY_LEFT && ram_lane)
            ram_lane--;
        if (pressed & KEY_RIGHT && ram_lane != 3)
            ram_lane++;
    }
    if (pressed & KEY_A)
        tell(1);
    if (pressed & KEY_B)
        tell(2);
    if (!--their_wait) { /* where theirs hangs is not sent: it falls as mine does */
        their_wait = pace;
        if (their_row != ROWS - 1)
            their_row++;
    }
    if (ram_number != parcels && !--ram_wait) {
        ram_wait = pace;
        if (++ram_row == ROWS)
            land();
    }
    if (ram_number == parcels && ram_their_number == parcels) {
        ram_phase = OVER;
        ended = 1;
    }
}

static u8 toward(u8 now, u8 target, u8 step) {
    if (now < target)
        return target - now < step ? target : now + step;
    return now - target < step ? target : now - step;
}

static void show_side(u8 side, u8 lane, u8 row, u8 stamp) {
    Sprite *sprite = sprites + (side ? SPRITES_A_SIDE : 0);
    u8 x = (side ? (THEIRS + 1) * 8 + 8 : 16) + (lane << 4);
    u8 y = row << 3;
    if (x == x_shown[side] && y == y_shown[side] && stamp == stamp_shown[side])
        return;
    moved = 1;
    stamp_shown[side] = stamp;
    if (y_shown[side] > y)
        y_shown[side] = 0;
    x = x_shown[side] = toward(x_shown[side], x, pace < 8 ? 48 : 4);
    y = y_shown[side] = toward(y_shown[side], y, pace < 8 ? 8 : 1);
    y = stamp == T_SKY ? 0 : y + 5 * 8 + 16;
    sprite[0].x = sprite[2].x = sprite[CRANE].x = sprite[CRANE + 2].x = x;
    sprite[STAMP].x = x + 4;
    x += 8;
    sprite[1].x = sprite[3].x = sprite[CRANE + 1].x = sprite[CRANE + 3].x = x;
    sprite[0].y = sprite[1].y = y;
    sprite[STAMP].y = y + 4;
    sprite[STAMP].tile = stamp;
    y = y ? y + 8 : 0;
    sprite[2].y = sprite[3].y = y;
}

static u8 my_stamp(void) {
    if (ram_number == parcels)
        return T_SKY;
    switch (ram_told) {
    case 0:
        return T_UNKNOWN;
    case 1:
        return T_HALF_0 + ram_told_stamp;
    case 2:
        return T_HALF_2 + (ram_told_stamp >> 1);
    }
    return T_STAMP_0 + ram_told_stamp;
}

/* One spark more or less; how many are shown by now. */
static u8 show_spark(u8 x, u8 shown, u8 sparks) {
    if (shown < sparks)
        put(SCREEN(x + shown, 1), T_SPARK);
    else
        put(SCREEN(x + shown - 1, 1), T_SKY);
    return shown < sparks ? shown + 1 : shown - 1;
}

/* What has changed, one thing a frame; the sprites move all the time. */
static void show(void) {
    if (queue_in != queue_out)
        ; /* what moves goes first, and the queue must not run over meanwhile */
    else if (ram_sparks != sparks_shown)
        sparks_shown = show_spark(1, sparks_shown, ram_sparks);
    else if (ram_their_sparks != theirs_shown)
        theirs_shown = show_spark(THEIRS + 1, theirs_shown, ram_their_sparks);
    else if (scored) {
        scored = 0;
        put_digits(8, 16, sorted, 2);
    } else if ((ram_i_told & 1) != colour_shown) {
        colour_shown = ram_i_told & 1;
        put(SCREEN(0, 17), colour_shown ? T_TICK : T_SKY);
    } else if ((ram_i_told & 2) != shape_shown) {
        shape_shown = ram_i_told & 2;
        put(SCREEN(10, 17), shape_shown ? T_TICK : T_SKY);
    } else if (ended) {
        ended = 0;
        put_text(SCREEN(1, 17), "ALL IS SORTED    ");
    }
    show_side(0, ram_lane, ram_row, my_stamp());
    show_side(1, ram_their_lane, their_row,
              ram_their_number == parcels ? T_SKY : T_STAMP_0 + ram_their_stamp);
}

static void logic(void) {
    ram_keys = keys;
    if (ram_reset) {
        ram_reset = 0;
        begin();
    } else if (ram_phase == PLAYING)
        play();
    else if (ram_phase == TITLE)
        ram_ticks++;
    say();
    if (ram_phase != TITLE)
        show();
}

static void upload(void) {
    if (!(SC & 0x80))
        hear(SB);
    if (moved) {
        moved = 0;
        copy_sprites(2 * SPRITES_A_SIDE * 4);
    } else if (queue_in != queue_out)
        flush(6);
}

static void draw_half(u8 left) {
    u8 i, lane;
    fill(left, 2, 10, 1, T_RAIL);
    fill(left, 3, 1, 12, T_WALL);
    fill(left + 9, 3, 1, 12, T_WALL);
    fill(left, 15, 10, 1, T_FLOOR);
    for (lane = 0; lane != 4; lane++) {
        for (i = 5; i != 13; i += 2)
            *SCREEN(left + 1 + lane * 2, i) = T_DOTS;
        for (i = 0; i != 4; i++)
            *SCREEN(left + 1 + lane * 2 + (i & 1), 13 + (i >> 1)) = T_BIN_0 + lane * 4 + i;
    }
}

void main(void) {
    screen_off();
    load_tiles();
    copy_sprites(160);
    fill(0, 0, 20, 18, T_SKY);
    draw_half(0);
    draw_half(THEIRS);
    write(SCREEN(1, 0), "MINE");
    write(SCREEN(THEIRS + 1, 0), "PARTNERS");
    write(SCREEN(1, 16), "SORTED 00");
    write(SCREEN(1, 17), "PLUG IN THE CABLE");
    screen_on();
    run();
}
