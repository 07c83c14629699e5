/* Lets a program run as if the processor had no AVX-512, no VNNI and no AMX: what is left is AVX2 with FMA.
 *
 * Loaded with LD_PRELOAD. The kernel makes the CPUID instruction fault (arch_prctl(2), ARCH_CPUID), and the handler
 * answers in its place with the features left out (Intel 64 and IA-32 Architectures Software Developer's Manual,
 * volume 2, CPUID, leaf 7). Libraries that choose their kernels by CPUID then choose those of such a processor.
 *
 * cc -O2 -shared -fPIC -o cpuid_mask.so cpuid_mask.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_CPUID 0x1012
#define BIT(n) (1u << (n))

/* AVX512F, DQ, IFMA, PF, ER, CD, BW, VL. */
static const uint32_t LEAF_7_EBX =
    BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
/* AVX512_VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ. */
static const uint32_t LEAF_7_ECX = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
/* AVX512_4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8. */
static const uint32_t LEAF_7_EDX = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
/* Subleaf 1: AVX-VNNI and AVX512_BF16; its other registers hold newer vector instructions only. */
static const uint32_t LEAF_7_1_EAX = BIT(4) | BIT(5);

static int (*next_sigaction)(int, const struct sigaction *, struct sigaction *);

static long allow_cpuid(unsigned long allowed) { return syscall(SYS_arch_prctl, ARCH_CPUID, allowed); }

static void answer(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
  if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
    signal(number, SIG_DFL); /* a real fault comes again, and ends the program; one that was sent is sent again */
    if (info->si_code <= 0) raise(number);
    return;
  }
  uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX], a, b, c, d;
  allow_cpuid(1);
  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(subleaf));
  allow_cpuid(0);
  if (leaf == 7 && subleaf == 0) {
    b &= ~LEAF_7_EBX;
    c &= ~LEAF_7_ECX;
    d &= ~LEAF_7_EDX;
  } else if (leaf == 7 && subleaf == 1) {
    a &= ~LEAF_7_1_EAX;
    b = c = d = 0;
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

/* Nobody else may handle the signal: Python's faulthandler would. */
int sigaction(int number, const struct sigaction *action, struct sigaction *before) {
  if (number == SIGSEGV && action) {
    if (before) memset(before, 0, sizeof *before);
    return 0;
  }
  if (!next_sigaction) next_sigaction = dlsym(RTLD_NEXT, "sigaction");
  return next_sigaction(number, action, before);
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  next_sigaction = dlsym(RTLD_NEXT, "sigaction");
  next_sigaction(SIGSEGV, &action, NULL);
  if (allow_cpuid(0)) {
    fputs("cpuid_mask: this processor or kernel cannot make CPUID fault\n", stderr);
    exit(96);
  }
}
