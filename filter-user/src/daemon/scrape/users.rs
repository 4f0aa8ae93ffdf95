//! Who may see the metrics: HTTP basic authentication (RFC 7617) against a file of bcrypt hashes.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::watched::Watched;
use crate::files::regular;

/// What nobody needs a password for: it tells nothing.
pub(super) const OPEN: &str = "/healthz";

/// Most users, and the longest file.
const MOST: usize = 64;
const BYTES: u64 = 64 << 10;
/// bcrypt's cost: each step doubles what a guess, and a check, takes.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// What `htpasswd -B` and others take unless they are told.
const USUAL_COST: u32 = 10;
/// Longest name and password, in base64; bcrypt looks at 72 bytes of the password.
const LONGEST: usize = 256;

type Accounts = BTreeMap<String, String>;

/// Names and the hashes of their passwords.
#[derive(Debug)]
pub(super) struct Users {
    file: Watched<Accounts>,
    /// Digests of what was right, for these accounts: a check by bcrypt is slow on purpose, and scrapes repeat.
    known: Mutex<(Arc<Accounts>, HashSet<[u8; 32]>)>,
    /// One check at a time: guesses take one core, not all.
    turn: Semaphore,
}

impl Users {
    /// Reads a file as `htpasswd -B` writes it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = Watched::open(vec![path.to_owned()], read)?;
        let known = Mutex::new((file.get(), HashSet::new()));
        Ok(Self { file, known, turn: Semaphore::new(1) })
    }

    async fn admit(&self, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else { return false };
        let accounts = self.file.get();
        let digest: [u8; 32] = Sha256::digest(format!("{name}:{password}")).into();
        if self.knows(&accounts, &digest) {
            return true;
        }
        let Ok(_turn) = self.turn.acquire().await else { return false };
        let hash = accounts.get(&name).cloned();
        let check = move || check(&password, hash.as_deref());
        let is_right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        if is_right {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).1.insert(digest);
        }
        is_right
    }

    /// Whether it was right before, and nobody has changed the file since.
    fn knows(&self, accounts: &Arc<Accounts>, digest: &[u8; 32]) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, accounts) {
            *known = (accounts.clone(), HashSet::new());
        }
        known.1.contains(digest)
    }
}

/// A name that nobody has takes as long as others.
fn check(password: &str, hash: Option<&str>) -> bool {
    let Some(hash) = hash else {
        let _ = bcrypt::hash(password, USUAL_COST);
        return false;
    };
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// Lets only those through who have an account, and everybody to [`OPEN`].
pub(super) async fn only_known(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    if request.uri().path() == OPEN || users.admit(request.headers()).await {
        return next.run(request).await;
    }
    let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"floodwall\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, "a user of metrics.users_file is needed\n").into_response()
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || rest.len() > LONGEST {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn read(paths: &[PathBuf]) -> Result<Accounts> {
    let path = paths.first().context("a path")?;
    let text = regular(path, BYTES).with_context(|| path.display().to_string())?;
    let text = str::from_utf8(&text).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().map(|(number, line)| (number, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let account = |(number, line): (usize, &str)| {
        account(line).with_context(|| format!("{}:{}", path.display(), number + 1))
    };
    let accounts: Accounts = lines.map(account).collect::<Result<_>>()?;
    ensure!(!accounts.is_empty(), "{} names nobody", path.display());
    ensure!(accounts.len() <= MOST, "{} names more than {MOST} users", path.display());
    Ok(accounts)
}

/// `name:$2y$10$..`; a bad line is not repeated, it may hold a password.
fn account(line: &str) -> Result<(String, String)> {
    const FORM: &str = "no line of htpasswd -B (NAME:$2y$COST$..)";
    let (name, hash) = line.split_once(':').context(FORM)?;
    let parts: bcrypt::HashParts = hash.parse().ok().context(FORM)?;
    ensure!(!name.is_empty() && COSTS.contains(&parts.get_cost()), "{FORM} with a cost of 4 to 14");
    Ok((name.to_owned(), hash.to_owned()))
}
