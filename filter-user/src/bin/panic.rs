//! `floodwall panic` alone. Linked statically (`cargo xtask test` and a release do that) it needs no library, no loader and no daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    filter_user::cmd::panic::main(std::env::args_os())
}
