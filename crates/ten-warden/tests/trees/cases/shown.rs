//! Files that a front may read and not open.

use std::fs;

use crate::{
    front::{Line, Order},
    host::Host,
};

pub(crate) fn files_are_shown_as_they_are_now(host: &mut Host) {
    host.boot();
    let path = host.folder().join("shown");
    let shown = |host: &mut Host| {
        host.order(&Order::Show);
        host.take(|line| match line {
            Line::Shown { texts } => Some(texts.clone()),
            _ => None,
        })
    };
    assert!(shown(host).unwrap_err().contains("No such file"));
    // Who would open it would wait for a writer.
    drop(ten_kernel::make_fifo(&path).unwrap());
    assert!(shown(host).unwrap_err().contains("not a regular file"));
    for text in ["one", "two"] {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(shown(host).unwrap(), [text]);
    }
}
