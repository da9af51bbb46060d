//! A manager over the network: the same commands with the certificate of a context, and what goes wrong on the way.

use std::path::Path;

use insta::assert_snapshot;
use orca_api::stream::Frame;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose as Usage, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;

use crate::context::private;
use crate::run::{orcactl, report};
use crate::server::{Reply, Server};
use crate::{cluster, views};

/// A cluster's CA.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A fresh one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key for a role.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    /// The text of a context.
    pub fn context(&self, addresses: &[&str]) -> String {
        let (certificate, key) = self.issue("admin.orca");
        let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!(
            "cluster = \"7ZK3M000000CRAB1\"\nname = \"alice\"\nrole = \"admin\"\nid = \"7ZK3M000000CERT1\"\n\
             expires_at = \"2100-01-30T12:00:00Z\"\naddresses = [{}]\ncertificate = '''\n{certificate}'''\n\
             key = '''\n{key}'''\nca = '''\n{}'''\n",
            addresses.join(", "),
            self.ca.pem(),
        )
    }

    /// What a node of that name serves with.
    fn server(&self, name: &str) -> rustls::ServerConfig {
        let (certificate, key) = self.issue(name);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// Runs it with a context named `prod`, whose address is that one.
fn run(context: &str, line: &str) -> String {
    let config = tempfile::tempdir().unwrap();
    let contexts = config.path().join("orca/contexts");
    std::fs::create_dir_all(&contexts).unwrap();
    private(&contexts.join("prod.toml"), context);
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = orcactl(Path::new("/nowhere/orca.sock"), &words)
        .env("XDG_CONFIG_HOME", config.path())
        .output()
        .unwrap();
    report(line, &output, Path::new("/nowhere/orca.sock"))
}

#[test]
fn commands_work_from_elsewhere() {
    let (server, pki) = (Server::new().json("GET /v1/nodes", &views::list(views::nodes())), Pki::new());
    let address = server.network(pki.server("manager.orca")).to_string();
    let text = run(&pki.context(&[&address]), "node list -o name --context prod");
    assert!(text.contains("exit code: 0") && text.contains("n1\nn2\n"), "{text}");
    // An address that nobody answers at is passed over, and --host says another one.
    let text = run(&pki.context(&["127.0.0.1:1", &address]), "node list -q --context prod");
    assert!(text.contains("exit code: 0"), "{text}");
    let line = format!("node list -o name --context prod --host {address}");
    let text = run(&pki.context(&["127.0.0.1:1"]), &line);
    assert!(text.contains("exit code: 0"), "{text}");
    assert!(server.asked()[0].contains("/v1/nodes"), "{:?}", server.asked());
}

#[test]
fn streams_and_processes_too() {
    let pki = Pki::new();
    let line = json!({"type": "line", "time": null, "stream": "stdout", "attempt": 1, "text": "hello"});
    let server = Server::new()
        .reply(
            "GET /v1/tasks/web/logs",
            Reply::Body(200, "application/x-ndjson", crate::server::lines(&[line])),
        )
        .reply("POST /v1/tasks/web/exec", Reply::Echo(7));
    let address = server.network(pki.server("manager.orca")).to_string();
    let text = run(&pki.context(&[&address]), "task logs --context prod web");
    assert!(text.contains("hello\n"), "{text}");
    let text = run(&pki.context(&[&address]), "task exec -i --context prod web -- cat");
    assert!(text.contains("exit code: 7"), "{text}");
    // The stream is frames, as on the socket.
    assert!(!Frame::Exit(7).encode().is_empty());
}

#[test]
fn who_is_not_to_be_trusted_is_told_apart() {
    let (server, pki) = (Server::new(), Pki::new());
    let address = server.network(pki.server("manager.orca")).to_string();
    let foreign = run(&Pki::new().context(&[&address]), "status --context prod");
    assert_snapshot!("network_other_cluster", foreign.replace(&address, "[ADDRESS]"));
    let worker = server.network(pki.server("worker.orca")).to_string();
    let text = run(&pki.context(&[&worker]), "status --context prod");
    assert_snapshot!("network_no_manager", text.replace(&worker, "[ADDRESS]"));
    let text = run(&pki.context(&["127.0.0.1:1"]), "status --context prod");
    assert_snapshot!("network_nobody", text);
    // The manager's CA is trusted, and the own certificate is of another one.
    let mixed = {
        let (ours, theirs) = (pki.context(&[&address]), Pki::new().context(&[&address]));
        let (head, _) = theirs.split_once("ca = '''").unwrap();
        let (_, ca) = ours.split_once("ca = '''").unwrap();
        format!("{head}ca = '''{ca}")
    };
    let text = run(&mixed, "status --context prod");
    assert_snapshot!("network_not_accepted", text.replace(&address, "[ADDRESS]"));
    assert!(server.asked().is_empty());
}

#[test]
fn a_certificate_of_a_person_becomes_a_context() {
    let pki = Pki::new();
    let (certificate, _) = pki.issue("view.orca");
    let issued = json!({
        "id": "7ZK3M000000CERT1", "name": "grafana", "role": "view", "created_at": "2026-11-01T12:00:00Z",
        "expires_at": "2027-01-30T12:00:00Z", "by": "uid 0", "certificate": certificate, "ca": pki.ca.pem(),
        "managers": ["10.0.0.1:7443"],
    });
    let server = Server::new()
        .json("POST /v1/cluster/certificates", &issued)
        .json("GET /v1/cluster", &cluster::cluster());
    let folder = server.socket().parent().unwrap().to_owned();
    let line = format!("cluster admin-cert grafana --role view --ttl 30d -o {}/", folder.display());
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = orcactl(server.socket(), &words).output().unwrap();
    assert_snapshot!("admin_cert", report(&line, &output, server.socket()));
    let asked = server.asked();
    assert!(asked[0].contains("BEGIN CERTIFICATE REQUEST") && !asked[0].contains("PRIVATE"), "{asked:?}");
    assert!(asked[0].contains("\"role\":\"view\",\"ttl\":"), "{asked:?}");
    let text = std::fs::read_to_string(folder.join("grafana.toml")).unwrap();
    assert!(text.contains("BEGIN PRIVATE KEY") && text.contains("10.0.0.1:7443"), "{text}");
    let again = orcactl(server.socket(), &words).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    assert_eq!(server.asked().len(), asked.len(), "and nothing was asked");
}
