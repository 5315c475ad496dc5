//! Booting: QEMU with a kernel, an image and one serial console.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{console, disks, image, kernel};

const QEMU: &str = "qemu-system-x86_64";

/// Boot and all cases. A run of tests that is slower than this has failed.
const WATCHDOG: Duration = Duration::from_secs(460);

/// As little hardware as will do, and one CPU, so that shares of it can be measured. Not
/// `microvm`: without HPET or ACPI timer an interpreted kernel often finds no clock at all.
/// A kernel that panics or says that it is done resets the machine, and that ends QEMU.
const MACHINE: [&str; 17] = [
    "-machine",
    "pc",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-smp",
    "1",
    "-m",
    "1024M",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    "-serial",
    "stdio",
];
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet reboot=t panic=-1 rdinit=/init";

/// Boots, and gives all that the machine said. The inner error is why it cannot be booted
/// here at all.
pub(crate) fn run(folder: &Path) -> io::Result<Result<String, String>> {
    if cfg!(not(target_arch = "x86_64")) {
        return Ok(Err("the machine is one of x86_64, and these programs are not".into()));
    }
    if let Err(reason) = kernel::run(Command::new(QEMU).arg("--version")) {
        return Ok(Err(format!("{reason}; it is in the package qemu-system-x86")));
    }
    let kernel = match kernel::get(folder)? {
        Ok(kernel) => kernel,
        Err(reason) => return Ok(Err(reason)),
    };
    let image = folder.join("image.cpio");
    image::write(&image, &kernel)?;
    let mut command = Command::new(QEMU);
    command.args(MACHINE).arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&image);
    command.args(["-append", KERNEL_ARGUMENTS]).args(disks::make(folder)?);
    let mut machine = Machine(
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?,
    );
    let console = machine.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Ok(listen(console)))
}

/// A machine that is never left running.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything until the end, or until patience ends.
fn listen(console: ChildStdout) -> String {
    let (say, said) = mpsc::channel();
    thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while console.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // Nobody listens after the end.
            let _ = say.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    let deadline = Instant::now() + WATCHDOG;
    let mut all = String::new();
    loop {
        match said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push_str(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => return all,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return all + &format!("\nnot over after {WATCHDOG:?}: the machine was ended\n");
            }
        }
        if all.trim_end().ends_with(console::END) {
            return all;
        }
    }
}
