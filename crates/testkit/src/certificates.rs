//! Certificate authorities of a test, and certificates from them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::Command;

/// Nothing of the system's configuration, which adds extensions of its own.
const CONFIGURATION: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// A certificate authority, made by `openssl`; its files are removed when it is dropped.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Authority {
    /// A new one that nobody knows.
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("ct-authority-").expect("create a temporary directory");
        fs::write(directory.path().join("config"), CONFIGURATION).expect("write a configuration");
        let authority = Self { directory };
        authority.make("ca", &["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"], false);
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A certificate for a server at this address.
    pub fn server(&self, address: IpAddr) -> Issued {
        let names = format!("subjectAltName=IP:{address}");
        self.make(&format!("server-{address}"), &[&names, "extendedKeyUsage=serverAuth"], true)
    }

    /// A certificate for a client.
    pub fn client(&self, name: &str) -> Issued {
        let names = format!("subjectAltName=DNS:{name}");
        self.make(name, &[&names, "extendedKeyUsage=clientAuth"], true)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make(&self, name: &str, extensions: &[&str], is_issued: bool) -> Issued {
        let issued =
            Issued { certificate: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) };
        let mut command = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", &format!("/CN={name}"), "-config"])
            .arg(self.path("config"))
            .arg("-keyout")
            .arg(&issued.key)
            .arg("-out")
            .arg(&issued.certificate);
        for extension in extensions {
            command = command.args(["-addext", extension]);
        }
        if is_issued {
            command = command.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.path("ca.key"));
        }
        command.run().expect_ok();
        issued
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Issued {
    /// Puts both into a folder, by the names under which Docker's tools look for a client's certificate.
    pub fn copy_to(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("create a folder");
        fs::copy(&self.certificate, folder.join("client.cert")).expect("copy a certificate");
        fs::copy(&self.key, folder.join("client.key")).expect("copy a key");
    }
}
