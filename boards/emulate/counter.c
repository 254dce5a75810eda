/* QEMU TCG plugin (API version 1, qemu >= 7.2): counts the AArch64 instructions that a guest executes.
 *
 * Arguments (qemu-aarch64 -plugin counter.so,out=FILE[,symbols=1]):
 *   out=FILE   where the records go (default: stderr)
 *   symbols=1  also counts per symbol, written at exit
 *   getpid=N   number of that system call in the guest (default: AArch64's); kinds are those of AArch64 in any case
 *
 * Records, one per line:
 *   mark ID total=N ldst=N simd=N branch=N int=N dot=N mmla=N    at every marker, cumulative
 *   exit total=N ...                                             when the guest ends
 *   symbol NAME N                                                with symbols=1, one line a symbol
 *
 * A marker is the harmless system call getpid() made with two arguments that the kernel ignores: MARK_MAGIC and an ID.
 * A guest can so bracket one inference, and start-up, warm-up and exit never enter the difference. System calls end a
 * translation block, hence the counts at a marker are exact.
 *
 * Debian does not package qemu-plugin.h, so the few entry points that are used are declared here.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK_MAGIC 0xED6EFACEu
#define SYMBOL_SLOTS 65536u

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
                                                                     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                     uint64_t));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

enum { TOTAL, LDST, SIMD, BRANCH, INTEGER, DOT, MMLA, KINDS };
static const char *const kind_names[KINDS] = {"total", "ldst", "simd", "branch", "int", "dot", "mmla"};
static uint64_t counts[KINDS];
static FILE *out;
static int64_t getpid_number = 172; /* of AArch64 */

static struct symbol {
    char *name;
    uint64_t count;
} *symbols; /* open addressing; the slots never move, because translated code holds their addresses */

/* Top-level groups of the A64 encoding (Arm ARM, C4.1): op0 is bits 28..25. */
static int group_of(uint32_t word) {
    unsigned op0 = (word >> 25) & 15u;
    if ((op0 & 5u) == 4u) return LDST;
    if ((op0 & 7u) == 7u) return SIMD;
    if ((op0 & 14u) == 10u) return BRANCH;
    return INTEGER;
}

/* SDOT and UDOT on 8-bit lanes, as vectors and by element. */
static int is_dot(uint32_t word) {
    int vector = (word & 0x9F20FC00u) == 0x0E009400u;
    int by_element = (word & 0x9F00F400u) == 0x0F00E000u;
    return (vector || by_element) && (word & 0x00C00000u) == 0x00800000u;
}

/* SMMLA, UMMLA and USMMLA. */
static int is_mmla(uint32_t word) { return (word & 0xDFE0F400u) == 0x4E80A400u; }

static uint64_t *symbol_counter(const char *name) {
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = 0; i < SYMBOL_SLOTS; i++) {
        struct symbol *slot = &symbols[(hash + i) % SYMBOL_SLOTS];
        if (!slot->name) slot->name = strdup(name);
        if (!slot->name) abort();
        if (!strcmp(slot->name, name)) return &slot->count;
    }
    fprintf(stderr, "counter: more than %u symbols\n", SYMBOL_SLOTS);
    abort();
}

static void add_one(struct qemu_plugin_insn *insn, uint64_t *counter) {
    qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, counter, 1);
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word = 0;
        size_t size = qemu_plugin_insn_size(insn); /* x86 has shorter ones */
        memcpy(&word, qemu_plugin_insn_data(insn), size < sizeof word ? size : sizeof word);
        add_one(insn, &counts[TOTAL]);
        add_one(insn, &counts[group_of(word)]);
        if (is_dot(word)) add_one(insn, &counts[DOT]);
        if (is_mmla(word)) add_one(insn, &counts[MMLA]);
        if (symbols) {
            const char *name = qemu_plugin_insn_symbol(insn);
            add_one(insn, symbol_counter(name && *name ? name : "?"));
        }
    }
}

static void write_counts(void) {
    for (int k = 0; k < KINDS; k++) fprintf(out, " %s=%" PRIu64, kind_names[k], counts[k]);
    fputc('\n', out);
    fflush(out);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)vcpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != getpid_number || (uint32_t)a1 != MARK_MAGIC) return;
    fprintf(out, "mark %" PRIu64, a2);
    write_counts();
}

static void on_exit_(plugin_id id, void *data) {
    (void)id, (void)data;
    fputs("exit", out);
    write_counts();
    for (uint32_t i = 0; symbols && i < SYMBOL_SLOTS; i++)
        if (symbols[i].name) fprintf(out, "symbol %s %" PRIu64 "\n", symbols[i].name, symbols[i].count);
    fflush(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    out = stderr;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(argv[i] + 4, "w");
            if (!out) {
                perror(argv[i] + 4);
                return -1;
            }
        } else if (!strcmp(argv[i], "symbols=1") || !strcmp(argv[i], "symbols=on")) {
            symbols = calloc(SYMBOL_SLOTS, sizeof *symbols);
            if (!symbols) return -1;
        } else if (!strncmp(argv[i], "getpid=", 7)) {
            getpid_number = strtoll(argv[i] + 7, NULL, 10);
        } else {
            fprintf(stderr, "counter: unknown argument %s\n", argv[i]);
            return -1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
    return 0;
}
