//! Arrays of programs, which `bpf_tail_call` goes on to.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use super::{ElementAttr, bpf};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;

/// `BPF_MAP_TYPE_PROG_ARRAY`
const PROGRAM_ARRAY: u32 = 3;
/// `BPF_PROG_TYPE_XDP`
pub(in crate::dataplane) const XDP: u32 = 6;
/// `BPF_XDP`, what XDP programs are loaded for.
const ATTACH_XDP: u32 = 37;
/// `BPF_F_XDP_HAS_FRAGS`
const HAS_FRAGS: u32 = 1 << 5;

/// `r0 = XDP_PASS; exit` (RFC 9669).
static PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// An array of one program.
pub(in crate::dataplane) fn array() -> io::Result<OwnedFd> {
    let mut attr = CreateAttr { kind: PROGRAM_ARRAY, key: 4, value: 4, entries: 1, flags: 0 };
    let map = bpf(BPF_MAP_CREATE, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(map) })
}

/// Puts a program into an array. `EINVAL`: it is of another kind than what the array holds or what calls it.
pub(in crate::dataplane) fn set(map: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (key, value) = (0_u32, program.as_raw_fd());
    let mut attr = element(map, &raw const key as u64, &raw const value as u64);
    bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Id of the program in an array, if there is one.
pub(in crate::dataplane) fn get(map: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let (key, mut value) = (0_u32, 0_u32);
    let mut attr = element(map, &raw const key as u64, &raw mut value as u64);
    match bpf(BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn element(map: BorrowedFd<'_>, key: u64, value: u64) -> ElementAttr {
    ElementAttr { map: map.as_raw_fd().cast_unsigned(), padding: 0, key, value, flags: 0 }
}

/// An XDP program that lets everything pass.
pub(in crate::dataplane) fn pass(frags: bool) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        kind: XDP,
        count: PASS.len() as u32,
        instructions: (&raw const PASS) as u64,
        license: c"GPL".as_ptr() as u64,
        log: [0; 2],
        log_buffer: 0,
        version: 0,
        flags: if frags { HAS_FRAGS } else { 0 },
        name: [0; 16],
        ifindex: 0,
        attach_type: ATTACH_XDP,
    };
    let program = bpf(BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}

#[repr(C)]
struct CreateAttr {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}
