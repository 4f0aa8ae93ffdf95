//! What the kernel says about pinned links and large maps, where aya keeps it to itself.
#![expect(unsafe_code, reason = "bpf(2) commands that aya does not offer")]

pub(super) mod programs;

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, bail};
use aya::{
    maps::{MapData, MapType},
    util::nr_cpus,
};

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;
const BPF_LINK_DETACH: libc::c_int = 34;

/// `BPF_LINK_TYPE_XDP`
const XDP_LINK: u32 = 6;

/// The head of `struct bpf_link_info` (Linux, include/uapi/linux/bpf.h), for links of network interfaces.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct LinkInfo {
    kind: u32,
    id: u32,
    /// Id of the program that the link runs.
    pub(super) program: u32,
    reserved: u32,
    /// Interface, 0 when it is gone.
    pub(super) ifindex: u32,
    attach_type: u32,
}

/// What the link pinned at `path` is attached to.
pub(super) fn link_info(path: &Path) -> io::Result<LinkInfo> {
    info(&open(path)?)
}

fn info(link: &OwnedFd) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoAttr {
        fd: link.as_raw_fd().cast_unsigned(),
        info_len: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Detaches the link that attaches an XDP program to an interface, whosever it is; `false` if there is none.
pub(super) fn detach_xdp_link_of(ifindex: u32, program: u32) -> io::Result<bool> {
    let is_it = |info: &LinkInfo| info.kind == XDP_LINK && info.ifindex == ifindex && info.program == program;
    match links()?.iter().find(|(_, info)| is_it(info)) {
        Some((link, _)) => detach_now(link).map(|()| true),
        None => Ok(false),
    }
}

/// Id of the program that is pinned at `path`, or that the link there runs.
pub(super) fn pinned_program(path: &Path) -> io::Result<Option<u32>> {
    Ok(program_of(&fdinfo(&open(path)?)?))
}

/// What the kernel tells about a descriptor.
pub(super) fn fdinfo(object: &OwnedFd) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))
}

/// The program that a descriptor's `fdinfo` names.
pub(super) fn program_of(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
}

/// Every attachment on this host that is a link, with its descriptor.
pub(super) fn links() -> io::Result<Vec<(OwnedFd, LinkInfo)>> {
    let (mut links, mut id) = (Vec::new(), 0);
    while links.len() < MOST_LINKS {
        let mut next = IdAttr { id, next: 0, flags: 0 };
        match bpf(BPF_LINK_GET_NEXT_ID, &mut next) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
            result => result?,
        };
        id = next.next;
        // It may have gone between the two calls.
        let Ok(link) = bpf(BPF_LINK_GET_FD_BY_ID, &mut IdAttr { id, next: 0, flags: 0 }) else {
            continue;
        };
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        let link = unsafe { OwnedFd::from_raw_fd(link) };
        if let Ok(info) = info(&link) {
            links.push((link, info));
        }
    }
    Ok(links)
}

/// Ends an attachment, whoever made it.
pub(super) fn detach_now(link: &OwnedFd) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut link.as_raw_fd().cast_unsigned()).map(drop)
}

/// More links than any host has: a loop that ends.
const MOST_LINKS: usize = 1 << 16;

/// Detaches the link pinned at `path` now; removing the pin alone does so some time later.
pub(super) fn detach_link(path: &Path) -> io::Result<()> {
    detach_now(&open(path)?)
}

/// Reads the next entries of a hash map into both slices, which are as long as each other (Linux 5.6).
///
/// `cursor` is `None` at first, and again when the map has been read to its end.
pub(super) fn lookup_batch<const WORDS: usize>(
    map: BorrowedFd<'_>,
    cursor: &mut Option<u32>,
    keys: &mut [u64],
    values: &mut [[u64; WORDS]],
) -> io::Result<usize> {
    let (mut from, mut next) = (*cursor, 0_u32);
    let mut attr = BatchAttr {
        in_batch: from.as_mut().map_or(0, |from| &raw mut *from as u64),
        out_batch: &raw mut next as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: keys.len().min(values.len()) as u32,
        map: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    match bpf(BPF_MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => *cursor = Some(next),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => *cursor = None,
        Err(error) => return Err(error),
    }
    Ok(attr.count as usize)
}

/// An array's value; of a per-CPU array the values of all possible CPUs, each rounded up to 8 bytes.
pub(super) fn lookup(map: &MapData, mut key: u32) -> anyhow::Result<Vec<u8>> {
    let info = map.info().context("map information")?;
    let length = match info.map_type() {
        Ok(MapType::Array) => info.value_size() as usize,
        Ok(MapType::PerCpuArray) => {
            let cpus = nr_cpus().map_err(|(_, error)| error).context("number of CPUs")?;
            info.value_size().next_multiple_of(8) as usize * cpus
        }
        _ => bail!("not an array"),
    };
    let mut value = vec![0; length];
    let mut attr = ElementAttr {
        map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        padding: 0,
        key: &raw mut key as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    bpf(BPF_MAP_LOOKUP_ELEM, &mut attr).context("read a map")?;
    Ok(value)
}

#[repr(C)]
struct ElementAttr {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

#[repr(C)]
struct IdAttr {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct PathAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// What is pinned at `path`.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = bpf(BPF_OBJ_GET, &mut PathAttr { path: path.as_ptr() as u64, fd: 0, flags: 0 })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One bpf(2) call; fields of `union bpf_attr` beyond `T` are zero for the kernel.
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is a live prefix of `union bpf_attr` of the size given, and every pointer in it points at
    // memory that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
