use std::os::unix::fs::symlink;

use super::*;

#[test]
fn another_file_system_is_refused_by_name() {
    let error = Pins::at(Path::new("/proc/floodwall"), "v1-0").expect_err("not bpffs");
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
}

#[test]
fn symbolic_links_and_files_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let link = folder.path().join("link");
    symlink("/", &link).expect("link");
    assert!(look(&link).expect_err("link").to_string().contains("symbolic link"));
    let file = folder.path().join("file");
    fs::write(&file, "").expect("file");
    assert!(look(&file).expect_err("file").to_string().contains("not a folder"));
    assert!(look(&folder.path().join("none")).expect("none").is_none());
}

#[test]
fn link_names_carry_the_index() {
    assert_eq!(link_index(Path::new("/x/links/17-xdp")), Some(17));
    assert_eq!(link_index(Path::new("/x/links/eth0")), None);
}

#[test]
fn folders_are_removed_without_following_links() {
    let folder = tempfile::tempdir().expect("folder");
    let (kept, gone) = (folder.path().join("kept"), folder.path().join("gone"));
    fs::create_dir_all(gone.join("inner")).expect("folders");
    fs::write(&kept, "").expect("file");
    symlink(&kept, gone.join("inner/link")).expect("link");
    remove_folder(&gone).expect("removed");
    remove_folder(&gone).expect("nothing left to do");
    assert!(kept.exists() && !gone.exists());
}
