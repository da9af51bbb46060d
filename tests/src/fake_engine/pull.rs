//! Pulls: the registry's side and the engine's in one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::behaviour::RegistryImage;
use super::http::{Answer, Query, refused};
use super::state::full_name;
use super::streams::flowing;

/// Steps in which a layer comes.
const STEPS: u64 = 10;

/// Counts a pull as long as somebody waits for it.
struct Underway(Arc<Shared>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.with(|state| state.pulls -= 1);
    }
}

pub(super) fn pull(shared: &Arc<Shared>, query: &Query, headers: &HeaderMap) -> Answer {
    let (name, tag) =
        (query.get("fromImage").unwrap_or_default(), query.get("tag").unwrap_or_else(|| "latest".to_owned()));
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    let full = full_name(&format!("{name}{separator}{tag}"));
    let Some(image) = shared.look(|state| state.registry.get(&full).cloned()) else {
        return refused((
            404,
            format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
            ),
        ));
    };
    if let Some(refusal) = image.refuse {
        return refused(refusal);
    }
    if let Some((user, password)) = &image.wants {
        match credentials(headers) {
            None => {
                return refused((
                    500,
                    format!("Get \"https://{name}/manifests/{tag}\": no basic auth credentials"),
                ));
            }
            Some(given) if given["username"] != user.as_str() || given["password"] != password.as_str() => {
                return refused((
                    500,
                    format!("Get \"https://{name}/manifests/{tag}\": unauthorized: authentication required"),
                ));
            }
            Some(_) => {}
        }
    }
    shared.with(|state| state.pulls += 1);
    let underway = Underway(Arc::clone(shared));
    let lines = script(&image, &tag);
    let parts = stream::unfold(
        (underway, full, image, lines, 0usize),
        |(underway, full, image, lines, at)| async move {
            if image.stall_after.is_some_and(|n| at >= n) {
                std::future::pending::<()>().await;
            }
            if at > 0 {
                tokio::time::sleep(image.step).await;
            }
            let Some(line) = lines.get(at) else {
                if image.fail.is_none() {
                    underway.0.with(|state| state.add_image(&full, image.behaviour.clone()));
                }
                return None;
            };
            Some((Bytes::from(format!("{line}\n")), (underway, full, image, lines, at + 1)))
        },
    );
    flowing("application/json", parts)
}

fn script(image: &RegistryImage, tag: &str) -> Vec<Value> {
    let mut lines = vec![json!({"status": "Pulling from x", "id": tag})];
    for (i, size) in image.layers.iter().enumerate() {
        let id = format!("layer{i}");
        lines.push(json!({"status": "Pulling fs layer", "progressDetail": {}, "id": id}));
        for step in 1..=STEPS {
            lines.push(json!({"status": "Downloading", "progressDetail": {"current": size * step / STEPS, "total": size}, "id": id}));
        }
        lines.push(json!({"status": "Download complete", "progressDetail": {}, "id": id}));
        lines.push(json!({"status": "Pull complete", "progressDetail": {}, "id": id}));
    }
    match &image.fail {
        Some(text) => lines.push(json!({"errorDetail": {"message": text}, "error": text})),
        None => lines.push(json!({"status": "Status: Downloaded newer image"})),
    }
    lines
}

/// The credentials in the request: base 64 of JSON.
fn credentials(headers: &HeaderMap) -> Option<Value> {
    let text = headers.get("X-Registry-Auth")?.to_str().ok()?;
    serde_json::from_slice(&base64(text)?).ok()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|b| *b != b'=') {
        let plain = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        bits = (bits << 6) | u32::try_from(ALPHABET.iter().position(|c| *c == plain)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(out)
}
