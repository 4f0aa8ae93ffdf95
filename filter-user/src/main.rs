//! Parses arguments; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    filter_user::cmd::main(std::env::args_os())
}
