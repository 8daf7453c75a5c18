/* CAIRN: stones fall into a well between two cliffs; a row that is full sinks away.
 *
 * The well is kept twice: as tiles, with walls and a floor around it, so that a stone fits where
 * four bytes are 0; and as a bit a column in `ram_rows`, for whoever reads the game from outside.
 */
#include "generated.h"
#include "console.h"

#define TOP 1  /* of the well on the screen */
#define LEFT 1
#define PANEL 12
#define FULL 0x03FF
#define FLASH 12

u8 __at(0xC0FF) wall; /* to the left of the first row; of the others it is the row above */
u8 __at(0xC100) well[16 * (HEIGHT + 1) + 1];
static u8 dirty_from, dirty_to, moved, flash, ended;
static u8 lines_shown[4], score_shown[5], to_next_level;

static const u8 *shape;

static u8 fits(u8 column, u8 row, const u8 *cells) {
    const u8 *at = well + ((u16)row << 4) + (signed char)column;
    return !(at[cells[0]] | at[cells[1]] | at[cells[2]] | at[cells[3]]);
}

static void spawn(void) {
    ram_kind = ram_next;
    do
        ram_next = roll() & 7;
    while (ram_next == 7);
    ram_turn = ram_row = 0;
    ram_column = SPAWN;
    ram_wait = SPEED[ram_level];
    shape = SHAPE[ram_kind][0];
    moved = 1;
}

static void show_numbers(void) {
    put_digits(PANEL + 2, 9, lines_shown, 4);
    put_digits(PANEL + 2, 12, score_shown, 5);
    put(SCREEN(PANEL + 2, 15), T_0 + ram_level);
}

static void redraw(u8 from, u8 to) { /* from the lower row upwards, a few rows a frame */
    if (from > dirty_from)
        dirty_from = from;
    if (to < dirty_to)
        dirty_to = to;
}

static void begin(void) {
    u8 x, y;
    u8 *at = well;
    wall = 0xFF;
    for (y = 0; y != HEIGHT; y++) {
        ram_rows[y] = 0;
        for (x = 0; x != 16; x++)
            *at++ = x < WIDTH ? 0 : 0xFF;
    }
    for (x = 0; x != 17; x++)
        *at++ = 0xFF;
    for (x = 0; x != 4; x++)
        lines_shown[x] = score_shown[x] = 0;
    score_shown[4] = 0;
    ram_ticks = ram_lines = ram_pieces = ram_score = 0;
    ram_held = 0;
    ram_level = ram_start > 9 ? 9 : ram_start;
    to_next_level = 10;
    flash = ended = 0;
    BGP = PALETTE;
    shuffle(ram_seed);
    roll(); /* the first few come from too few of the seed's bits */
    roll();
    roll();
    roll();
    spawn(); /* draws the first `next` */
    spawn();
    dirty_from = HEIGHT;
    dirty_to = 0;
    queue_in = queue_out = 0;
    show_numbers();
    ram_phase = PLAYING;
}

/* Takes the full rows among `from`..`to` out and lets the ones above sink, in one pass. */
static u8 clear_rows(u8 from, u8 to) {
    u8 x, y, filled = 0;
    u8 source, target;
    for (y = from; y != to; y++)
        if (ram_rows[y] == FULL)
            filled++;
    if (!filled)
        return 0;
    source = target = to;
    while (source) {
        source--;
        if (ram_rows[source] == FULL)
            continue;
        target--;
        if (source == target)
            continue;
        ram_rows[target] = ram_rows[source];
        {
            const u8 *a = well + ((u16)source << 4);
            u8 *b = well + ((u16)target << 4);
            for (x = WIDTH; x; x--)
                *b++ = *a++;
        }
        /* An empty row has only empty rows above it, but for what still falls. */
        if (!ram_rows[target] && !filled)
            break;
    }
    while (target) {
        u8 *b;
        target--;
        ram_rows[target] = 0;
        b = well + ((u16)target << 4);
        for (x = WIDTH; x; x--)
            *b++ = 0;
    }
    return filled;
}

static void land(void) {
    u8 i, filled, top = HEIGHT, bottom = 0;
    u8 tile = T_STONE_0 + ram_kind;
    u16 at = ((u16)ram_row << 4) + (signed char)ram_column;
    for (i = 0; i != 4; i++) {
        u16 cell = at + shape[i];
        u8 y = cell >> 4;
        well[cell] = tile;
        ram_rows[y] |= (u16)1 << (cell & 15);
        if (y < top)
            top = y;
        if (y >= bottom)
            bottom = y + 1;
    }
    ram_pieces++;
    filled = clear_rows(top, bottom);
    if (filled) {
        ram_lines += filled;
        ram_score += GAIN[filled];
        count(lines_shown, 4, filled);
        count(score_shown, 5, GAIN[filled]);
        while (filled--)
            if (!--to_next_level) {
                to_next_level = 10;
                if (!ram_steady && ram_level != 9)
                    ram_level++;
            }
        show_numbers();
        flash = FLASH;
        top = 0;
    }
    redraw(bottom, top);
    spawn();
    if (!fits(ram_column, 0, shape)) {
        ram_phase = OVER;
        ended = 1;
    }
}

static void shift(u8 column) {
    if (fits(column, ram_row, shape)) {
        ram_column = column;
        moved = 1;
    }
}

static void turn(u8 by) {
    u8 turned = (ram_turn + by) & 3;
    const u8 *cells = SHAPE[ram_kind][turned];
    if (fits(ram_column, ram_row, cells)) {
        ram_turn = turned;
        shape = cells;
        moved = 1;
    }
}

static void play(void) {
    ram_ticks++;
    if (keys & (KEY_LEFT | KEY_RIGHT)) {
        /* Again and again while it is held: after 12 frames, then every 4. */
        if (++ram_held == 16)
            ram_held = 12;
    } else
        ram_held = 0;
    if ((pressed & KEY_LEFT) || (ram_held == 12 && (keys & KEY_LEFT)))
        shift(ram_column - 1);
    else if ((pressed & KEY_RIGHT) || (ram_held == 12 && (keys & KEY_RIGHT)))
        shift(ram_column + 1);
    if (pressed & KEY_A)
        turn(1);
    else if (pressed & KEY_B)
        turn(3);
    if (pressed & KEY_UP) {
        while (fits(ram_column, ram_row + 1, shape))
            ram_row++;
        land();
        return;
    }
    ram_wait--;
    if (keys & KEY_DOWN)
        ram_wait = 0;
    if (!ram_wait) {
        ram_wait = SPEED[ram_level];
        if (fits(ram_column, ram_row + 1, shape)) {
            ram_row++;
            moved = 1;
        } else
            land();
    }
}

static void show_piece(u8 first, u8 x, u8 y, const u8 *cells, u8 tile) {
    Sprite *sprite = sprites + first;
    u8 i;
    for (i = 0; i != 4; i++, sprite++) {
        u8 cell = cells[i];
        sprite->y = y + ((cell >> 1) & 0x78);
        sprite->x = x + ((cell & 15) << 3);
        sprite->tile = tile;
    }
}

static void put_text(u8 *at, const char *text) {
    while (*text)
        put(at++, glyph(*text++));
}

static void logic(void) {
    ram_keys = keys;
    if (ram_reset) {
        ram_reset = 0;
        begin();
    } else if (ram_phase == PLAYING) {
        if (pressed & KEY_START) {
            ram_phase = PAUSED;
            BGP = 0xF9;
        } else
            play();
    } else if (ram_phase == PAUSED) {
        if (pressed & KEY_START) {
            ram_phase = PLAYING;
            BGP = PALETTE;
        }
    } else if (pressed & KEY_START) { /* title, or over: a person begins */
        ram_seed[0] = DIV;
        ram_seed[1] += ram_ticks;
        ram_seed[2] ^= DIV;
        ram_seed[3]++;
        begin();
    } else if (ended && !dirty_from) {
        ended = 0;
        put_text(SCREEN(LEFT + 2, 7), "THE");
        put_text(SCREEN(LEFT + 5, 8), "END");
    } else if (ram_phase == TITLE) {
        ram_ticks++;
        if (pressed & KEY_RIGHT && ram_start != 9)
            ram_start++;
        if (pressed & KEY_LEFT && ram_start)
            ram_start--;
        if (pressed & (KEY_LEFT | KEY_RIGHT))
            put(SCREEN(LEFT + 5, 13), T_0 + ram_start);
    }
    if (moved) {
        show_piece(0, ((ram_column + LEFT) << 3) + 8, ((ram_row + TOP) << 3) + 16, shape,
                   T_STONE_0 + ram_kind);
        show_piece(4, (PANEL + 2) * 8 + 8, 5 * 8 + 16, SHAPE[ram_next][0], T_STONE_0 + ram_next);
    }
}

/* One row of the well, a lower one first. */
static void upload_row(void) {
    dirty_from--;
    copy_row(well + ((u16)dirty_from << 4), SCREEN(LEFT, TOP + dirty_from));
    if (dirty_from == dirty_to)
        dirty_from = dirty_to = 0;
}

/* VBlank is 1140 cycles long: what does not fit into this one waits for the next. */
static void upload(void) {
    if (moved) {
        moved = 0;
        copy_sprites(32);
    }
    if (dirty_from) {
        upload_row();
        if (dirty_from)
            upload_row();
    } else if (queue_in != queue_out)
        flush(6);
    if (flash) {
        flash--;
        BGP = flash & 4 ? 0x90 : PALETTE;
    }
}

static void draw_frame(void) {
    u8 y;
    fill(0, 0, 20, 18, T_SKY);
    for (y = 0; y != 17; y++) {
        *SCREEN(0, y) = T_CLIFF_L;
        *SCREEN(LEFT + WIDTH, y) = T_CLIFF_R;
    }
    fill(0, 17, 20, 1, T_GROUND);
    *SCREEN(13, 1) = *SCREEN(18, 5) = *SCREEN(17, 14) = T_STAR;
    *SCREEN(17, 1) = T_MOON_A;
    *SCREEN(18, 1) = T_MOON_B;
    *SCREEN(17, 2) = T_MOON_C;
    *SCREEN(18, 2) = T_MOON_D;
    write(SCREEN(PANEL + 1, 4), "NEXT");
    write(SCREEN(PANEL + 1, 8), "LINES");
    write(SCREEN(PANEL + 1, 11), "SCORE");
    write(SCREEN(PANEL + 1, 14), "LEVEL");
    write(SCREEN(LEFT + 2, 4), "CAIRN");
    for (y = 0; y != 7; y++)
        *SCREEN(LEFT + 2 + y, 6) = T_STONE_0 + y;
    write(SCREEN(LEFT + 2, 9), "PRESS");
    write(SCREEN(LEFT + 3, 10), "START");
    *SCREEN(LEFT + 3, 13) = T_ARROW_L;
    *SCREEN(LEFT + 5, 13) = T_0;
    *SCREEN(LEFT + 7, 13) = T_ARROW_R;
}

void main(void) {
    screen_off();
    load_tiles();
    copy_sprites(160);
    draw_frame();
    screen_on();
    run();
}
