//! Every map and read-only global, as `filter_common::abi` names them.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, ProgramArray, RingBuf},
    macros::btf_map,
};
use filter_common::{
    abi::{COUNTERS_LEN, Counter, Cpu, HANDOVERS_LEN, Ports8},
    arm::Arm,
    ban::{Ban, Control},
    bucket::Line,
    config::{Config, MAX_SERVICES, Ports, Summary},
    cookie::Keys,
    event::{Event, RING, Sampler},
    hints::Hints,
    list::{Listed, Node, Page, Record},
    packet::Packet,
    rules::{self, MAX_RULES, Rules},
    state::TOTALS,
    word::Word,
};

// An mmapable array starts on a page of its own, so that its 64-byte lines are cache lines.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

// Sizes of tables are what the loader sets; these are the smallest.
const MIN_LINES: usize = 1024;

#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, { COUNTERS_LEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static HANDOVERS: PerCpuArray<u64, { HANDOVERS_LEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SOURCES: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static REPLIES: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static RECENT: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static PROVEN: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static QUERIES: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FLOWS: Array<Line, MIN_LINES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static HINTS: Array<Hints, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static ARMS: Array<Arm, MAX_SERVICES, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static CPU: PerCpuArray<Cpu, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static PACKET: PerCpuArray<Packet, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static LEAVING: PerCpuArray<Packet, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static TOTAL: Array<Word, TOTALS> = Array::new();
#[btf_map]
pub(crate) static KEYS: Array<Keys, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static STEP_DOWN: Array<Ports8, 1> = Array::new();
#[btf_map]
pub(crate) static MANAGEMENT: LpmTrie<[u32; 4], u8, 1024, { BPF_F_NO_PREALLOC as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static RULE_SRC: LpmTrie<[u32; 4], u64, 16, { BPF_F_NO_PREALLOC as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static RULE_DST: LpmTrie<[u32; 4], u64, 16, { BPF_F_NO_PREALLOC as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static SERVICE_DST: LpmTrie<[u32; 4], u64, 16, { BPF_F_NO_PREALLOC as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static RULE_COUNTERS: PerCpuArray<Counter, { rules::COUNTERS_LEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static RULE_BUCKETS: Array<Word, MAX_RULES> = Array::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, RING> = RingBuf::new();
#[btf_map]
pub(crate) static SAMPLER: PerCpuArray<Sampler, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static LOCAL: HashMap<[u32; 4], u8, 1024> = HashMap::new();

/// The program that goes on with packets that pass. Each program of ours has one of its own.
#[btf_map]
pub(crate) static NEXT: ProgramArray<1> = ProgramArray::new();

// Made anew by each reload, as large as the lists are.
#[btf_map]
pub(crate) static LIST_BITS: Array<u64, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static LIST_RECORDS: Array<Record, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static LIST_PAGES: Array<Page, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static LIST_NODES: Array<Node, 1, MMAPABLE> = Array::new();
// Its memory is taken when it is made: a ban never fails for want of memory in the middle of an attack.
#[btf_map]
pub(crate) static BANS: HashMap<u64, Ban, 1024> = HashMap::new();
#[btf_map]
pub(crate) static BAN_HINTS: Array<u64, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static BANNED: LpmTrie<[u32; 4], Ban, 1024, { BPF_F_NO_PREALLOC as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static BAN_CONTROL: Array<Control, 1, MMAPABLE> = Array::new();

// Globals in .rodata: user space writes them before the load, then they are frozen and the verifier treats
// them as constants. `read` keeps the compiler from doing the same with the zeros that it sees.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::EMPTY;
#[unsafe(no_mangle)]
static PORTS: Ports = Ports::EMPTY;
#[unsafe(no_mangle)]
static SUMMARY: Summary = Summary::EMPTY;
#[unsafe(no_mangle)]
static LISTED: Listed = Listed::EMPTY;
#[unsafe(no_mangle)]
static RULES: Rules = Rules::EMPTY;

/// The interface's configuration.
#[inline(always)]
pub(crate) fn config() -> &'static Config {
    read(&CONFIG)
}

/// Services by port.
#[inline(always)]
pub(crate) fn ports() -> &'static Ports {
    read(&PORTS)
}

/// Summary of the management list.
#[inline(always)]
pub(crate) fn summary() -> &'static Summary {
    read(&SUMMARY)
}

/// Summary of the allow and block lists.
#[inline(always)]
pub(crate) fn listed() -> &'static Listed {
    read(&LISTED)
}

/// The operator's rules.
#[inline(always)]
pub(crate) fn rules() -> &'static Rules {
    read(&RULES)
}

/// The same reference, of unknown origin to the compiler.
#[inline(always)]
fn read<T>(global: &'static T) -> &'static T {
    let mut address: *const T = global;
    // SAFETY: the pointer comes out as it went in.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) address, options(pure, nomem, nostack));
        &*address
    }
}
