//! One question put to a registry: shown what it wants to see, and sent again where that was not known.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::form_urlencoded::byte_serialize;

use super::asking::{self, Asking};
use super::challenge::{self, Challenge};
use super::client::{Question, Registry};
use super::line::{Ask, Line, Reply};
use super::reply::About;
use super::token::{self, TokenKey};
use super::words::shown;
use crate::image::{Answer, Credentials};
use crate::secret::Secret;

/// Indexes and manifests, in both families.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What a registry says to a request that it did not refuse.
pub(super) enum Asked {
    There(Reply),
    /// HEAD is not liked: GET may be.
    HeadRefused,
}

/// What a request shows of who asks.
enum Shown {
    Nothing,
    Basic(HeaderValue),
    /// A token, with its key if it may be worth nothing: kept from before, or had by a hint.
    Token(HeaderValue, Option<TokenKey>),
}

impl Registry {
    /// Sends a request, and once more with what the registry wants to see.
    pub(super) async fn exchange(
        &self,
        line: &Line,
        question: &Question<'_>,
        method: Method,
    ) -> Result<Asked, Answer> {
        let path = format!("/v2/{}/manifests/{}", question.repository, question.version.as_str());
        let mut secrets = secrets_of(question.login);
        let mut show = self.first_header(line, question, &mut secrets).await?;
        // Open, challenged, and a kept token that was not good any more.
        for last in [false, false, true] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
            if let Shown::Basic(value) | Shown::Token(value, _) = &show {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let ask = Ask { method: method.clone(), headers, body: Bytes::new() };
            let reply = line.ask(&path, &ask).await.map_err(|trouble| Answer::Unreachable(trouble.words))?;
            let status = reply.response.status();
            if status.is_success() {
                return Ok(Asked::There(reply));
            }
            let about = About { line, with_login: question.login.is_some(), secrets: &secrets };
            let head = method == Method::HEAD;
            if head && matches!(status.as_u16(), 400 | 405 | 501) {
                return Ok(Asked::HeadRefused);
            }
            if status != StatusCode::UNAUTHORIZED || last {
                return Err(about.refusal(reply, !head).await);
            }
            match self.answered(&about, reply, &show, question, head).await? {
                Shown::Token(value, fresh) => {
                    secrets
                        .push(Secret::new(value.to_str().unwrap_or_default().trim_start_matches("Bearer ")));
                    show = Shown::Token(value, fresh);
                }
                other => show = other,
            }
        }
        Err(Answer::Unreachable(format!("{} asks for one login after another", line.place.name)))
    }

    /// What the first request shows: what is known to be wanted, and nothing to a registry that is not known.
    async fn first_header(
        &self,
        line: &Line,
        question: &Question<'_>,
        secrets: &mut Vec<Secret>,
    ) -> Result<Shown, Answer> {
        match (line.known().asking, question.login) {
            (Some(Asking::Basic), Some(login)) if login.identity_token.is_none() => {
                Ok(Shown::Basic(token::basic(login)?))
            }
            (Some(Asking::Bearer { realm, service, named }), login) if named || login.is_none() => {
                let scope = default_scope(question.repository);
                let key = TokenKey::new(&realm, &service, &scope, login);
                let kept = self.tokens.get(&key);
                // A token from a server that only a hint names may be anybody's.
                let doubtful = kept.is_some() || !named;
                let about = About { line, with_login: login.is_some(), secrets };
                let token = match kept {
                    Some(token) => Ok(token),
                    None => self.tokens.fetch(&about, &realm, &key, login).await,
                };
                match token {
                    Ok(token) => {
                        secrets.push(token.clone());
                        Ok(token::bearer(&token)
                            .map_or(Shown::Nothing, |value| Shown::Token(value, doubtful.then_some(key))))
                    }
                    // A hint that does not hold any more is forgotten.
                    Err(_) if !named => Ok(Shown::Nothing),
                    Err(answer) => Err(answer),
                }
            }
            _ => Ok(Shown::Nothing),
        }
    }

    /// What the next request shows after a 401.
    async fn answered(
        &self,
        about: &About<'_>,
        reply: Reply,
        show: &Shown,
        question: &Question<'_>,
        head: bool,
    ) -> Result<Shown, Answer> {
        let headers = reply.response.headers();
        let challenges =
            challenge::read(headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()));
        let challenge = challenge::best(challenges);
        match show {
            Shown::Token(_, None) => return Err(about.refusal(reply, !head).await),
            Shown::Token(_, Some(key)) => self.tokens.forget(key),
            Shown::Basic(_) if !matches!(challenge, Some(Challenge::Bearer { .. })) => {
                return Err(about.refusal(reply, !head).await);
            }
            Shown::Basic(_) | Shown::Nothing => {}
        }
        let (line, login) = (about.line, question.login);
        let name = &line.place.name;
        match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => {
                let realm = asking::realm(line, &realm).map_err(Answer::Unreachable)?;
                line.learn(|known| {
                    known.asking =
                        Some(Asking::Bearer { realm: realm.clone(), service: service.clone(), named: true });
                });
                let scope = scope.unwrap_or_else(|| default_scope(question.repository));
                let key = TokenKey::new(&realm, &service, &scope, login);
                let token = self.tokens.fetch(about, &realm, &key, login).await?;
                let value = token::bearer(&token)
                    .ok_or_else(|| Answer::Unreachable(format!("{name} has a token server without sense")))?;
                Ok(Shown::Token(value, None))
            }
            Some(Challenge::Basic) => {
                line.learn(|known| known.asking = Some(Asking::Basic));
                match login {
                    None => Err(about.refusal(reply, !head).await),
                    Some(login) if login.identity_token.is_some() => Err(Answer::Denied(format!(
                        "{name} wants a user and a password, and the login is an identity token"
                    ))),
                    Some(login) => Ok(Shown::Basic(token::basic(login)?)),
                }
            }
            Some(Challenge::Other(scheme)) => Err(Answer::Denied(format!(
                "{name} wants a kind of login that is not known here: {}",
                shown(&scheme, &[])
            ))),
            None => Err(about.refusal(reply, !head).await),
        }
    }
}

fn default_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// Everything of a login that must not be repeated, in all the forms in which it is sent.
fn secrets_of(login: Option<&Credentials>) -> Vec<Secret> {
    let Some(login) = login else { return Vec::new() };
    let mut secrets = vec![token::pair(login)];
    for secret in [Some(&login.password), login.identity_token.as_ref()].into_iter().flatten() {
        secrets.push(Secret::new(byte_serialize(secret.expose().as_bytes()).collect::<String>()));
        secrets.push(secret.clone());
    }
    secrets
}
