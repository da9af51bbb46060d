//! Routes of the cluster as such: tokens, settings, the authority, certificates of people.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use orca_api::cluster::{CreateToken, IssueCertificate, IssuedCertificate, SetCluster, TokenAnswer};
use orca_api::error::{Code, Problem};
use orca_api::join::JoinToken;
use orca_core::manager::{Answer, Request as Asking, RotationStage};

use super::control::{Call, Control, list, ok, read_body};
use super::members::Members;
use super::port::{Port, listen_address};
use crate::net::http::{self, Body};

impl Control {
    /// What a manager has that other machines may reach.
    pub(super) fn network(&self) -> Result<(&Arc<Members>, &Arc<Port>), Problem> {
        match &self.network {
            Ok(network) => Ok((&network.members, &network.port)),
            Err(problem) => Err(problem.clone()),
        }
    }
}

pub(super) async fn tokens(control: &Control) -> Result<Response<Body>, Problem> {
    let (tokens, revision) =
        control.manager.read(|manager, now| (manager.token_list(now.wall), manager.revision())).await?;
    Ok(list(tokens, revision, None))
}

/// Makes a token. The port is opened first, and closed again where no token comes of it.
pub(super) async fn create_token(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (create, bytes) = read_body::<CreateToken>(call, body).await?;
    let (members, port) = control.network()?;
    let listens = control.manager.read(|manager, _| manager.listen().is_some()).await?;
    let was_open = port.bound().is_some();
    if !was_open {
        let wanted = control.manager.read(|manager, _| manager.listen().map(str::to_owned)).await?;
        port.open(listen_address(wanted.as_deref())?).await?;
    }
    let asked = create.addresses.clone();
    let made = async {
        let bound = port.bound().ok_or_else(super::role::stopping)?;
        // Before the token is made: a token without an address is of no use.
        let set = control.manager.read(|manager, _| manager.cluster_view().map(|v| v.addresses)).await?;
        let reach = super::addresses::choose(&asked, &set.unwrap_or_default(), bound)?;
        if !listens {
            let address = Some(bound.to_string());
            control.change(call, b"", Asking::Listen { address, force: false }).await?;
        }
        Ok((control.change(call, &bytes, Asking::CreateToken(create)).await?, reach))
    };
    let (answer, reach) = match made.await {
        Ok(made) => made,
        Err(problem) => {
            if !listens {
                control.change(call, b"", Asking::Listen { address: None, force: true }).await?;
                port.close().await;
            }
            return Err(problem);
        }
    };
    let Answer::TokenMade { view, secret } = answer else { return Err(unexpected(&answer)) };
    let text = JoinToken {
        addresses: reach.addresses.clone(),
        ca: members.authority().digest(),
        role: view.role,
        expires: view.expires_at,
        secret,
    };
    let answer = TokenAnswer {
        token: view,
        text: text.to_string(),
        addresses: reach.addresses,
        why: reach.why,
        opened: !listens,
    };
    Ok(http::json(StatusCode::CREATED, &answer))
}

pub(super) async fn revoke_token(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    match control.change(call, b"", Asking::RevokeToken { token: call.part.clone() }).await? {
        Answer::Token(view) => Ok(ok(&view)),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn inspect(control: &Control) -> Result<Response<Body>, Problem> {
    let view = control.manager.read(|manager, _| manager.cluster_view()).await?;
    let mut view = view.ok_or_else(|| Problem::new(Code::Internal, "there is no cluster yet"))?;
    // What only the shell knows.
    if let Ok((members, _)) = control.network() {
        view.ca.digest = members.authority().digest().to_string();
        if view.addresses.is_empty() {
            view.addresses = members.managers().await;
        }
    }
    Ok(ok(&view))
}

pub(super) async fn set(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (set, bytes) = read_body::<SetCluster>(call, body).await?;
    control.change(call, &bytes, Asking::SetCluster(set)).await?;
    inspect(control).await
}

/// Replaces the authority: first on disk, then the core has every node renew.
pub(super) async fn rotate(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let (members, _) = control.network()?;
    let authority = Arc::clone(members.authority());
    let ca = authority.digest().to_string();
    let (stage, people) = control
        .manager
        .read(move |manager, _| {
            let rotation = manager.cluster_view().and_then(|view| view.ca.rotation);
            (manager.rotation_stage(&ca), rotation.map(|r| r.people.len()).unwrap_or_default())
        })
        .await?;
    if authority.is_rotating() && stage == RotationStage::People {
        return Err(still_for_people(people));
    }
    let rotated = tokio::task::spawn_blocking(move || {
        // A rotation that was begun and not heard of by the core is told again.
        if authority.is_rotating() { Ok(authority.digest()) } else { authority.rotate() }
    })
    .await;
    let ca = rotated
        .map_err(|e| Problem::new(Code::Internal, e.to_string()))?
        .map_err(|error| error.problem())?
        .to_string();
    control.change(call, b"", Asking::RotateCa { ca }).await?;
    members.settle_when_due();
    inspect(control).await
}

fn still_for_people(people: usize) -> Problem {
    let whose = if people == 1 { "1 certificate".to_owned() } else { format!("{people} certificates") };
    Problem::new(Code::Rotating, "the last replacement of the certificate authority is not over")
        .because(format!(
            "the former one stays trusted for {whose} of people, until they expire or are revoked"
        ))
        .hint("orcactl cluster inspect shows whose; orcactl cluster admin-cert NAME makes new ones")
        .hint("orcactl cluster admin-cert revoke ID ends an old one at once")
}

pub(super) async fn certificates(control: &Control) -> Result<Response<Body>, Problem> {
    let (all, revision) =
        control.manager.read(|manager, now| (manager.certificate_list(now.wall), manager.revision())).await?;
    Ok(list(all, revision, None))
}

pub(super) async fn issue(control: &Control, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
    let (issue, bytes) = read_body::<IssueCertificate>(call, body).await?;
    let IssueCertificate { name, role, ttl, csr } = issue;
    let (members, _) = control.network()?;
    let answer = control.change(call, &bytes, Asking::IssueCertificate { name, role, ttl }).await?;
    let Answer::Certificate(view) = answer else { return Err(unexpected(&answer)) };
    let lifetime = view.expires_at.since(view.created_at);
    match members.certify_person(&csr, view.role, view.id, lifetime).await {
        Ok(certificate) => {
            let (ca, managers) = (members.authority().bundle(), members.managers().await);
            let issued = IssuedCertificate { view, certificate, ca, managers };
            Ok(http::json(StatusCode::CREATED, &issued))
        }
        Err(problem) => {
            // What cannot be signed is not to stand in the list.
            let certificate = view.id.to_string();
            control.change(call, b"", Asking::RevokeCertificate { certificate }).await?;
            Err(problem)
        }
    }
}

pub(super) async fn revoke(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let request = Asking::RevokeCertificate { certificate: call.part.clone() };
    match control.change(call, b"", request).await? {
        Answer::Certificate(view) => {
            if let Ok((members, _)) = control.network() {
                members.settle_when_due();
            }
            Ok(ok(&view))
        }
        other => Err(unexpected(&other)),
    }
}

pub(super) fn unexpected(answer: &Answer) -> Problem {
    Problem::new(Code::Internal, format!("the core answered something else: {answer:?}"))
}
