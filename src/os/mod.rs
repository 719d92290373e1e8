//! The operating system: system calls that nix and std do not offer, clocks, signals, limits, and what a process may do.

pub mod clock;
pub mod landlock;
pub mod rlimit;
pub mod run_as;
pub mod seccomp;
pub mod signals;
pub mod sys;
