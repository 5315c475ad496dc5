//! Tenants that want more than they get.

use std::{env, hint::black_box, process::Command, thread};

/// Bytes that the hog takes at a time.
const BITE: usize = 1024 * 1024;

/// Never returns of its own will.
pub(crate) fn live(kind: &str) -> ! {
    match kind {
        "hog" => hog(),
        "bomb" => bomb(),
        "burner" => burn(),
        _ => panic!("no tenant is called {kind:?}"),
    }
}

/// Takes memory until it is stopped, and uses it, so that it is really there.
fn hog() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; BITE]));
    }
}

/// Every one of them starts others, without end.
fn bomb() -> ! {
    let own = env::current_exe().expect("a program knows where it is");
    let mut children = Vec::new();
    loop {
        match Command::new(&own).args(["tenant", "bomb"]).spawn() {
            Ok(child) => children.push(child),
            Err(_) => thread::yield_now(),
        }
    }
}

fn burn() -> ! {
    let mut number = 0u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}
