//! JSON to a web server.

use std::time::SystemTime;

use ureq::http::header::{CONTENT_TYPE, RETRY_AFTER};
use zeroize::Zeroizing;

use super::failed::Failed;
use crate::{
    config::{schema::Notify, value::Origin},
    web::{Client, secret, told},
};

/// Sends it to `url`, with the target's secret; an answer other than 2xx is an error.
pub(super) fn post(
    target: &Notify,
    url: &str,
    body: &[u8],
    headers: &[(&str, String)],
) -> Result<(), Failed> {
    let timeout = *target.timeout.as_ref();
    let ca_file = target.ca_file.as_ref().map(|path| path.as_ref().as_path());
    let key = target.key_file.as_ref().map(|path| secret(path.as_ref())).transpose();
    let key = key.map_err(|trouble| trouble.to_string())?;
    let agent = Client { url, ca_file, timeout, redirects: false }.agent();
    let mut request = agent.map_err(|trouble| trouble.to_string())?.post(url);
    request = request.header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if let Some(key) = &key {
        request = request.header(target.header.as_ref(), key.as_str());
    }
    let answer = request.send(body).map_err(|error| told(&error, timeout).to_string())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Err(Failed::answer(status, retry_after, SystemTime::now()))
}

/// Where to send it.
pub(super) fn url(target: &Notify) -> Result<Zeroizing<String>, String> {
    if let Some(path) = &target.to_file {
        let text = secret(path.as_ref()).map_err(|trouble| trouble.to_string())?;
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        return if is_web { Ok(text) } else { Err(format!("{}: no URL", path.as_ref().display())) };
    }
    match target.to.as_ref().map(AsRef::as_ref) {
        Some(Origin::Url(url)) => Ok(url.clone().into()),
        _ => Err("`to` is no URL".to_owned()),
    }
}
