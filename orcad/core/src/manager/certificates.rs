//! Certificates of people and programs, and the CA's replacement: what is recorded of them. Signing is the shell's.
//!
//! ```text
//!   rotate ──► nodes renew ──every node has──► people ──no certificate of the former CA is left──► over
//!              the former CA is trusted        it is trusted for people alone
//! ```
//!
//! Nodes renew by themselves, people do not: their certificates of the former CA stay good until they expire or are
//! revoked, and with the last of them the replacement is over. Who wants an end at once revokes them.

use orca_api::cluster::CertificateView;
use orca_api::error::{Code, Problem};
use orca_api::id::{CertificateId, NodeId};
use orca_api::join::CertRole;
use orca_api::name::Name;
use orca_api::units::{Span, Time};

use super::defaults::{CERTIFICATES_MAX, PERSON_TTL, PERSON_TTL_MAX, PERSON_TTL_MIN};
use super::io::{Answer, Change, Effect, Peer};
use super::record::{CertificateRecord, NodeCertificate, NodeRecord, Rotation};
use super::state::Manager;
use super::tasks::{ambiguous, by_prefix};
use super::turn::Turn;

/// How far the CA's replacement has come, for who keeps the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStage {
    /// This CA's replacement of the former was not heard of: it is to be told.
    Unheard,
    /// Nodes have certificates of the former CA.
    Nodes,
    /// Only people have.
    People,
    /// Nobody has.
    Over,
}

impl Manager {
    /// How far the replacement by a CA with this digest (in hexadecimal) has come.
    pub fn rotation_stage(&self, ca: &str) -> RotationStage {
        let Some(cluster) = &self.durable.cluster else { return RotationStage::Unheard };
        match &cluster.rotation {
            Some(rotation) if rotation.ca == ca && rotation.nodes_done => RotationStage::People,
            Some(rotation) if rotation.ca == ca => RotationStage::Nodes,
            None if cluster.rotated.as_deref() == Some(ca) => RotationStage::Over,
            _ => RotationStage::Unheard,
        }
    }

    /// Names on good certificates of people that are of the former CA, in order.
    pub(super) fn people_of_former_ca(&self) -> Vec<Name> {
        let former = self.durable.certificates.values().filter(|c| c.of_former_ca);
        let mut names: Vec<Name> = former.map(|c| c.name.clone()).collect();
        names.sort();
        names
    }

    /// What a certificate of a person or a program allows now; `None` where it is not let in: it was revoked, has
    /// expired, or is not known.
    pub fn certificate_ok(&self, id: CertificateId, now: Time) -> Option<CertRole> {
        self.durable.certificates.get(&id).filter(|c| c.expires_at > now).map(|c| c.role)
    }

    /// Certificates of people and programs that are good, by name.
    pub fn certificate_list(&self, now: Time) -> Vec<CertificateView> {
        let good = self.durable.certificates.values().filter(|c| c.expires_at > now);
        let mut list: Vec<CertificateView> = good.map(|c| view(c)).collect();
        list.sort_by(|a, b| (&a.name, a.created_at, a.id).cmp(&(&b.name, b.created_at, b.id)));
        list
    }

    /// Whether a node is to renew its certificate at once: its CA is being replaced.
    pub fn node_must_renew(&self, node: NodeId) -> bool {
        let rotation = self.durable.cluster.as_ref().and_then(|c| c.rotation.as_ref());
        let certificate = self.member(node).and_then(|n| n.certificate.as_ref());
        matches!((rotation, certificate), (Some(rotation), Some(certificate))
            if !rotation.nodes_done && certificate.ca != rotation.ca)
    }

    fn find_certificate(&self, text: &str) -> Result<CertificateId, Problem> {
        let all = || self.durable.certificates.values();
        let named: Vec<CertificateId> = all().filter(|c| c.name.as_str() == text).map(|c| c.id).collect();
        let found =
            if named.is_empty() { by_prefix(text, all().map(|c| (c.id, c.id.to_string()))) } else { named };
        match found[..] {
            [id] => Ok(id),
            [] => {
                let shown: String = text.chars().take(80).collect();
                Err(Problem::new(Code::NoSuchCertificate, format!("there is no certificate `{shown}`"))
                    .hint("orcactl cluster admin-cert list shows them"))
            }
            _ => Err(ambiguous("certificate", text, found.iter().map(ToString::to_string))),
        }
    }
}

fn view(record: &CertificateRecord) -> CertificateView {
    CertificateView {
        id: record.id,
        name: record.name.clone(),
        role: record.role,
        created_at: record.created_at,
        expires_at: record.expires_at,
        by: record.by.to_string(),
    }
}

impl Turn<'_> {
    /// A node got a certificate. The CA's replacement ends when every member has one of the new CA: who was away
    /// would else come back with one that nobody accepts.
    pub(super) fn on_certified(&mut self, node: NodeId, expires_at: Time, ca: String) {
        let Some(record) = self.m.member(node) else { return };
        let mut record = NodeRecord::clone(record);
        let certificate = Some(NodeCertificate { expires_at, ca });
        if record.certificate == certificate {
            return;
        }
        record.certificate = certificate;
        self.put_node(record);
        self.end_rotation();
    }

    /// Goes on with the replacement of the CA where no node has to renew any more, and ends it where nobody has a
    /// certificate of the former one.
    pub(super) fn end_rotation(&mut self) {
        let Some(rotation) = self.m.durable.cluster.as_ref().and_then(|c| c.rotation.clone()) else { return };
        let waits = |n: &NodeRecord| n.certificate.as_ref().is_some_and(|c| c.ca != rotation.ca);
        if !rotation.nodes_done && self.m.members().any(|n| waits(n)) {
            return;
        }
        let people = self.m.people_of_former_ca().len();
        if !rotation.nodes_done {
            let done = Rotation { nodes_done: true, ..rotation };
            self.change_cluster(|c| c.rotation = Some(done));
            let left = match people {
                0 => String::new(),
                1 => "; the former one stays trusted for 1 certificate of people".to_owned(),
                n => format!("; the former one stays trusted for {n} certificates of people"),
            };
            self.cluster_event("ca.rotated", format!("every node has a certificate of the new CA{left}"));
        }
        if people == 0 && self.change_cluster(|c| c.rotation = None) {
            self.cluster_event("ca.forgotten", "the former CA is trusted for nobody any more".to_owned());
        }
    }

    pub(super) fn issue_certificate(
        &mut self,
        name: &Name,
        role: CertRole,
        ttl: Option<Span>,
        by: &Peer,
    ) -> Result<Answer, Problem> {
        self.refuse_if_scarce()?;
        if !matches!(role, CertRole::Admin | CertRole::View) {
            return Err(Problem::new(Code::BadSpec, format!("role: admin or view, not {role}"))
                .hint("machines get their certificates by joining: orcactl node token"));
        }
        let ttl = ttl.unwrap_or(PERSON_TTL);
        if !(PERSON_TTL_MIN..=PERSON_TTL_MAX).contains(&ttl) {
            return Err(Problem::new(
                Code::BadSpec,
                format!("ttl: from {PERSON_TTL_MIN} to {PERSON_TTL_MAX}, not {ttl}"),
            ));
        }
        if self.m.durable.certificates.len() >= CERTIFICATES_MAX {
            return Err(Problem::new(
                Code::TooMany,
                format!("there are {CERTIFICATES_MAX} certificates of people, the most"),
            )
            .hint("orcactl cluster admin-cert list, then orcactl cluster admin-cert revoke ID"));
        }
        let record = CertificateRecord {
            id: CertificateId::fresh(self.ids),
            name: name.clone(),
            role,
            created_at: self.now.wall,
            expires_at: self.now.wall.plus(ttl),
            by: by.clone(),
            of_former_ca: false,
        };
        self.cluster_event("certificate.issued", format!("{name} ({role}, {}), good for {ttl}", record.id));
        let view = view(&record);
        self.put(Change::CertificatePut { record: record.into() });
        Ok(Answer::Certificate(view))
    }

    pub(super) fn revoke_certificate(&mut self, text: &str) -> Result<Answer, Problem> {
        let id = self.m.find_certificate(text)?;
        let record = self.m.durable.certificates.get(&id).cloned();
        let record =
            record.ok_or_else(|| Problem::new(Code::NoSuchCertificate, "the certificate is gone"))?;
        self.cluster_event("certificate.revoked", format!("{} ({}, {id})", record.name, record.role));
        self.put(Change::CertificateGone { certificate: id });
        self.effect(Effect::CutCertificate { certificate: id });
        self.end_rotation();
        Ok(Answer::Certificate(view(&record)))
    }

    pub(super) fn rotate_ca(&mut self, ca: &str) -> Result<Answer, Problem> {
        if ca.len() != 64 || !ca.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Problem::new(Code::Internal, "the digest of the new CA is not one"));
        }
        let since = self.now.wall;
        let changed = self.change_cluster(|c| {
            if c.rotation.as_ref().is_none_or(|r| r.ca != ca) {
                c.rotation = Some(Rotation { ca: ca.to_owned(), since, nodes_done: false });
                c.rotated = Some(ca.to_owned());
            }
        });
        if changed {
            let people: Vec<_> = self.m.durable.certificates.values().cloned().collect();
            for person in people {
                let record = CertificateRecord { of_former_ca: true, ..CertificateRecord::clone(&person) };
                self.put(Change::CertificatePut { record: record.into() });
            }
            self.cluster_event("ca.rotation", format!("nodes get certificates of the new CA {ca:.16}…"));
            let nodes: Vec<NodeId> = self.m.members().map(|n| n.id).collect();
            for node in nodes {
                // Its poll is answered at once, and says so.
                self.notify(node);
            }
            self.end_rotation();
        }
        Ok(Answer::Done { changed })
    }
}
