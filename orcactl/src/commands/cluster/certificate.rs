//! `orcactl cluster admin-cert`: a certificate for a person or a program that works from elsewhere.
//!
//! The key is made here and stays here: the manager signs a request that holds its public half. What comes of it is one
//! file, a context, with all that another machine needs.

use std::path::{Path, PathBuf};

use orca_api::cluster::{CertificateView, IssueCertificate, IssuedCertificate};
use orca_api::control::List;
use orca_api::error::exit;
use orca_api::join::CertRole;
use orca_api::name::Name;
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::Format;
use crate::cli::cluster::{AdminCertArgs, AdminCertCommand, PersonRole};
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::table::{Cell, Table};
use crate::output::words;
use crate::settings::context::{self, Context};

/// Makes a certificate, or lists or revokes some.
pub async fn run(client: &Client, args: AdminCertArgs) -> Outcome {
    match (&args.command, &args.name) {
        (Some(AdminCertCommand::List(list)), _) => self::list(client, Printer::new(list.output)).await,
        (Some(AdminCertCommand::Revoke(revoke)), _) => {
            self::revoke(client, Printer::new(revoke.output), &revoke.certificates).await
        }
        (None, Some(name)) => issue(client, name, &args).await,
        (None, None) => Err(Failure::usage("a name is missing").hint("orcactl cluster admin-cert alice")),
    }
}

async fn issue(client: &Client, name: &Name, args: &AdminCertArgs) -> Outcome {
    let path = target(name, args.output.as_deref());
    if path.symlink_metadata().is_ok() {
        return Err(
            Failure::new(format!("{} exists already", path.display())).hint("-o PATH names another file")
        );
    }
    let role = match args.role {
        PersonRole::Admin => CertRole::Admin,
        PersonRole::View => CertRole::View,
    };
    let (key, csr) = key_and_request()?;
    let request = IssueCertificate { name: name.clone(), role, ttl: args.ttl, csr };
    let answer = client.call(Route::CertificateIssue).body(&request)?.answer::<IssuedCertificate>().await?;
    let (issued, now) = (answer.body, answer.now);
    if issued.managers.is_empty() {
        return Err(Failure::new("the certificate was made, and no manager can be reached with it")
            .because("the port of the link is closed")
            .hint("sudo orcactl manager start opens it; then make the certificate again")
            .hint(format!("orcactl cluster admin-cert revoke {} takes this one back", issued.view.id)));
    }
    let context = Context {
        cluster: cluster(client).await?,
        name: issued.view.name.clone(),
        role: issued.view.role,
        id: issued.view.id,
        expires_at: issued.view.expires_at,
        addresses: issued.managers.clone(),
        certificate: issued.certificate.clone(),
        key,
        ca: issued.ca.clone(),
    };
    context::write(&path, &context.text(), false)?;
    give_to_caller(&path);
    let printer = Printer::plain();
    printer.line(path.display())?;
    printer.note(format!(
        "certificate {} for {name} ({role}), good until {}",
        issued.view.id,
        words::moment(issued.view.expires_at, now)
    ));
    if role == CertRole::Admin {
        printer.note(
            "whoever has this file is root on every node: copy it over a safe way, then remove it here",
        );
    }
    let file = path.file_name().unwrap_or_default().display();
    printer.note(format!("on the machine to work from: orcactl context add {file}"));
    Ok(exit::OK)
}

async fn cluster(client: &Client) -> Result<orca_api::id::ClusterId, Failure> {
    let answer = client.call(Route::ClusterInspect).answer::<orca_api::cluster::ClusterView>().await?;
    Ok(answer.body.id)
}

/// A fresh key and the request for its certificate, both PEM.
fn key_and_request() -> Result<(String, String), Failure> {
    let made = rcgen::KeyPair::generate().and_then(|key| {
        // Names in a request count for nothing: the manager writes them.
        let request = rcgen::CertificateParams::default().serialize_request(&key)?;
        Ok((key.serialize_pem(), request.pem()?))
    });
    made.map_err(|error| Failure::new("no key could be made").because(error.to_string()))
}

/// `NAME.toml` here, or in the folder that was named, or the file that was named.
fn target(name: &Name, output: Option<&Path>) -> PathBuf {
    let file = format!("{name}.toml");
    match output {
        None => file.into(),
        Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => path.join(file),
        Some(path) => path.to_owned(),
    }
}

/// Under sudo the file is for who typed it, not for root.
fn give_to_caller(path: &Path) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if let (Some(user), Some(group)) = (number("SUDO_UID"), number("SUDO_GID")) {
        // Where that fails the file is root's, and can be read with sudo.
        let _ = std::os::unix::fs::lchown(path, Some(user), Some(group));
    }
}

async fn list(client: &Client, printer: Printer) -> Outcome {
    let answer = client.call(Route::CertificateList).answer::<List<CertificateView>>().await?;
    let certificates = answer.body.items;
    printer.objects(
        &certificates,
        |certificate| certificate.id.to_string(),
        |certificate| certificate.name.to_string(),
        |_| table(&certificates, answer.now),
    )?;
    if certificates.is_empty() {
        printer.note("nobody has a certificate: orcactl cluster admin-cert NAME makes one");
    }
    Ok(exit::OK)
}

fn table(certificates: &[CertificateView], now: Time) -> Table {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "GOOD FOR", "MADE", "BY"]);
    for certificate in certificates {
        table.row(vec![
            Cell::from(certificate.id),
            Cell::from(&certificate.name),
            Cell::from(certificate.role),
            Cell::from(words::short(certificate.expires_at.since(now))),
            Cell::from(words::ago(certificate.created_at, now)),
            Cell::from(&certificate.by),
        ]);
    }
    table
}

async fn revoke(client: &Client, printer: Printer, ids: &[String]) -> Outcome {
    let mut each = Each::default();
    for id in ids {
        let asked = client.call(Route::CertificateRevoke).part(id).answer::<CertificateView>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    if printer.format() == Format::Json {
        printer.json_named(&each.done, ids.len())?;
    } else {
        for certificate in &each.done {
            printer.line(certificate.id)?;
            printer.note(format!("the certificate of {} is not accepted any more", certificate.name));
        }
    }
    Ok(each.code)
}
