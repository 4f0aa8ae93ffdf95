//! A webhook, signed as <https://www.standardwebhooks.com> says.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    Failed, Notice,
    post::{post, url},
};
use crate::{config::schema::Notify, daemon::deadline::wall, web::secret};

/// How keys are written: this and base64.
const PREFIX: &str = "whsec_";
/// Bytes of a key; the specification asks for 24, its own examples have 18.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    let now = wall();
    let mut headers = vec![("webhook-id", notice.id.clone()), ("webhook-timestamp", now.to_string())];
    if let Some(path) = &target.sign_key_file {
        let signature = sign(&key(path.as_ref())?, &notice.id, now, &body)?;
        headers.push(("webhook-signature", signature));
    }
    post(target, &url(target)?, &body, &headers)
}

fn sign(key: &[u8], id: &str, time: u64, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

pub(super) fn key(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = secret(path).map_err(|trouble| trouble.to_string())?;
    let encoded = text.strip_prefix(PREFIX).unwrap_or(&text);
    let key = BASE64_STANDARD.decode(encoded).ok().map(Zeroizing::new);
    key.filter(|key| LENGTHS.contains(&key.len())).ok_or_else(|| {
        format!(
            "{}: no signing key: whsec_ and 16 to 64 bytes in base64 (openssl rand -base64 32)",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// As the specification's own implementations sign it.
    #[test]
    fn it_is_signed_as_the_specification_says() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "whsec_plJ3nmyCDGBKInavdOK15jsl\n").unwrap();
        let key = key(file.path()).unwrap_or_else(|why| panic!("{why}"));
        let body = br#"{"event_type":"ping","data":{"success":true}}"#;
        let signature = sign(&key, "msg_loFOjxBNrRLzqYUf", 1_731_705_121, body).unwrap();
        assert_eq!(signature, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=");
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in
            ["", "whsec_", "whsec_c2hvcnQ=", "no base64 at all, is it?", "whsec_plJ3nmyCDGBKInavdOK15js"]
        {
            fs::write(file.path(), text).unwrap();
            assert!(key(file.path()).is_err(), "{text}");
        }
        fs::write(file.path(), "whsec_plJ3nmyCDGBKInavdOK15jsl").unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(key(file.path()).unwrap_err().contains("chmod 0600"));
    }
}
