/* What both cartridges share: the machine's registers, tiles and text, sprites, chance, and the
 * frame. Work is split in two: `logic` runs from line 1 on, when the host has just set the keys of
 * this frame, and `upload` in VBlank, so that the RAM which the host reads after a frame is whole.
 */
typedef unsigned char u8;
typedef unsigned int u16;

#define REG(address) (*(volatile u8 *)(address))
#define SB REG(0xFF01)
#define SC REG(0xFF02)
#define DIV REG(0xFF04)
#define IF REG(0xFF0F)
#define LCDC REG(0xFF40)
#define STAT REG(0xFF41)
#define SCY REG(0xFF42)
#define SCX REG(0xFF43)
#define LY REG(0xFF44)
#define LYC REG(0xFF45)
#define BGP REG(0xFF47)
#define OBP0 REG(0xFF48)
#define OBP1 REG(0xFF49)

#define KEY_A 0x01
#define KEY_B 0x02
#define KEY_SELECT 0x04
#define KEY_START 0x08
#define KEY_RIGHT 0x10
#define KEY_LEFT 0x20
#define KEY_UP 0x40
#define KEY_DOWN 0x80

#define TITLE 0
#define PLAYING 1
#define OVER 2
#define PAUSED 3

#define SCREEN(x, y) ((u8 *)0x9800 + ((u16)(y) << 5) + (x))
#define PALETTE 0xE4 /* shade 0 is the lightest */

void wait_for(u8 flag);
void copy_sprites(u8 bytes);
u8 read_keys(void);
void copy_row(const u8 *from, u8 *to);

typedef struct {
    u8 y, x, tile, flags;
} Sprite;
Sprite __at(0xC000) sprites[40];

static u8 keys, pressed; /* held in this frame, and new in it */

/* --- text and tiles: at once while the screen is off, in a queue while it is on ------------- */
#define QUEUE 32
static u8 *queue_at[QUEUE];
static u8 queue_tile[QUEUE];
static u8 queue_in, queue_out;

static void put(u8 *at, u8 tile) {
    queue_at[queue_in] = at;
    queue_tile[queue_in] = tile;
    queue_in = (queue_in + 1) & (QUEUE - 1);
}

static void flush(u8 most) {
    while (queue_out != queue_in && most--) {
        *queue_at[queue_out] = queue_tile[queue_out];
        queue_out = (queue_out + 1) & (QUEUE - 1);
    }
}

static u8 glyph(char c) {
    if (c >= 'A' && c <= 'Z')
        return T_A + (u8)(c - 'A');
    if (c >= '0' && c <= '9')
        return T_0 + (u8)(c - '0');
    return T_SKY;
}

static void write(u8 *at, const char *text) { /* with the screen off */
    while (*text)
        *at++ = glyph(*text++);
}

static void fill(u8 x, u8 y, u8 width, u8 height, u8 tile) { /* with the screen off */
    u8 i;
    for (; height; height--, y++) {
        u8 *at = SCREEN(x, y);
        for (i = width; i; i--)
            *at++ = tile;
    }
}

/* Decimal digits, the last one first, so that nothing has to be divided. */
static void count(u8 *digits, u8 length, u8 by) {
    u8 i;
    while (by--)
        for (i = 0; i != length; i++) {
            if (++digits[i] != 10)
                break;
            digits[i] = 0;
        }
}

static void put_digits(u8 x, u8 y, const u8 *digits, u8 length) {
    u8 *at = SCREEN(x, y);
    while (length--)
        put(at++, T_0 + digits[length]);
}

static void screen_off(void) {
    while (LY < 144)
        ;
    LCDC = 0;
    queue_in = queue_out = 0;
}

static void screen_on(void) {
    LCDC = 0x93;
    IF = 0;
}

static void load_tiles(void) {
    const u8 *from = TILES;
    u8 *to = (u8 *)0x8000;
    u16 bytes = sizeof(TILES);
    for (; bytes; bytes--)
        *to++ = *from++;
}

static void hide(u8 first, u8 last) {
    for (; first != last; first++)
        sprites[first].y = 0;
}

/* --- chance: a xorshift over four bytes, all 2^32 - 1 states in one cycle ------------------- */
static u8 dice[4];

static void shuffle(const volatile u8 *seed) {
    u8 i, any = 0;
    for (i = 0; i != 4; i++)
        any |= dice[i] = seed[i];
    if (!any)
        dice[0] = 1;
}

static u8 roll(void) {
    u8 t = dice[0] ^ (u8)(dice[0] << 4);
    dice[0] = dice[1];
    dice[1] = dice[2];
    dice[2] = dice[3];
    dice[3] = dice[2] ^ t ^ (dice[2] >> 1) ^ (u8)(t << 1);
    return dice[3];
}

/* --- the frame ------------------------------------------------------------------------------ */
static void logic(void);
static void upload(void);

static void run(void) {
    u8 before;
    LYC = 1;
    STAT = 0x40; /* a flag at line LYC */
    BGP = OBP0 = PALETTE;
    OBP1 = 0x90;
    SCX = SCY = 0;
    wait_for(0x01);
    IF = 0; /* what was set while the screen was off */
    for (;;) {
        wait_for(0x02);
        before = keys;
        keys = read_keys();
        pressed = keys & ~before;
        logic();
        wait_for(0x01);
        upload();
    }
}
