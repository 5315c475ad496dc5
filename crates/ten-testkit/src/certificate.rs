//! Certificates that nobody but a test trusts.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};

/// What a config needs beside its services to serve HTTPS with the files of [`renew`], on ports that
/// are free.
pub(crate) const SETTINGS: &str = "\n[settings.tls]\nenabled = true\ncert_file = \"chain.pem\"\n\
     key_file = \"key.pem\"\nhttps_port = 0\nhttp_port = 0\n";

/// A new certificate for these names, and its key; PEM.
///
/// # Panics
///
/// When a name is none.
pub fn pair(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("names");
    (cert.pem(), signing_key.serialize_pem())
}

/// Puts a new pair in the place of what was in the folder, as tools do that renew certificates: one
/// file after the other, each at once, readable by nobody else.
pub(crate) fn renew(folder: &Path, names: &[&str]) -> io::Result<()> {
    let (chain, key) = pair(names);
    for (name, text) in [("key.pem", key), ("chain.pem", chain)] {
        let new = folder.join(name).with_extension("new");
        fs::write(&new, text)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, folder.join(name))?;
    }
    Ok(())
}
