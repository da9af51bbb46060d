//! What the node is: data centre, platform, constraints, images that are on single nodes only.

use orca_api::spec::Constraint;

use super::{Filter, Told};
use crate::ask::{self, Ask, Candidate};
use crate::attributes;
use crate::model::Request;

/// The node is in one of the data centres.
pub(super) struct DataCenter;

impl Filter for DataCenter {
    fn name(&self) -> &'static str {
        "data_center"
    }
    fn wanted(&self, request: &Request) -> bool {
        !request.data_centers.is_empty()
    }
    fn reads_more(&self, _: &Request) -> bool {
        false
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.class_passes(candidate.row.class) || ask::in_data_centers(ask.request, candidate.class)
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let here = match candidate.class.data_center.as_str() {
            "" => "none",
            name => name,
        };
        Told::text(format!("data_center: is {here}, wants {}", ask.request.data_centers.join(" or ")))
    }
    fn remedy(&self, ask: &Ask<'_>, _: &Candidate<'_>) -> String {
        format!("allow another data centre than {}", ask.request.data_centers.join(", "))
    }
}

/// The image exists for the node's system and processor.
pub(super) struct Platforms;

impl Filter for Platforms {
    fn name(&self) -> &'static str {
        "platform"
    }
    fn wanted(&self, request: &Request) -> bool {
        !request.platforms.is_empty()
    }
    fn reads_more(&self, _: &Request) -> bool {
        false
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.class_passes(candidate.row.class) || candidate.class.runs(&ask.request.platforms)
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let made: Vec<String> =
            ask.request.platforms.iter().map(|p| format!("{}/{}", p.os, p.arch)).collect();
        Told::text(format!(
            "platform: is {}/{}, the image is made for {}",
            candidate.class.os,
            candidate.class.arch,
            made.join(", ")
        ))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("build the image for {}/{} too", candidate.class.os, candidate.class.arch)
    }
}

/// Every constraint holds.
pub(super) struct Constraints;

impl Constraints {
    /// The first that does not.
    fn failed<'a>(ask: &Ask<'a>, candidate: &Candidate<'_>) -> Option<&'a Constraint> {
        if !ask.class_passes(candidate.row.class)
            && let Some(failed) = ask.failed_constraint(candidate.class)
        {
            return Some(failed);
        }
        let mut own = ask.request.constraints.iter().filter(|c| attributes::is_own(&c.key));
        own.find(|c| !attributes::holds(c, candidate.value(&c.key).as_deref()))
    }
}

impl Filter for Constraints {
    fn name(&self) -> &'static str {
        "constraint"
    }
    fn wanted(&self, request: &Request) -> bool {
        !request.constraints.is_empty()
    }
    fn reads_more(&self, request: &Request) -> bool {
        request.constraints.iter().any(|c| attributes::is_own(&c.key))
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        Self::failed(ask, candidate).is_none()
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let Some(failed) = Self::failed(ask, candidate) else {
            return Told::text(format!("constraint: all {} hold", ask.request.constraints.len()));
        };
        let value = candidate.value(&failed.key);
        let is = value.as_deref().map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        Told::text(format!("constraint: wants {failed}; {} is {is}", failed.key))
    }
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        match Self::failed(ask, candidate) {
            Some(failed) => {
                format!("drop the constraint `{failed}`, or give {} what it asks for", candidate.node().name)
            }
            None => String::new(),
        }
    }
}

/// The node has the image that no registry has.
pub(super) struct LocalImage;

impl Filter for LocalImage {
    fn name(&self) -> &'static str {
        "image"
    }
    fn wanted(&self, request: &Request) -> bool {
        request.local_image.is_some()
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.request.local_image.as_ref().is_none_or(|image| candidate.node().images.contains(image))
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let image = ask.request.local_image.as_deref().unwrap_or_default();
        let is =
            if self.passes(ask, candidate) { "is here" } else { "is not on this node, and in no registry" };
        Told::text(format!("image: {image} {is}"))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("push the image to a registry, or load it on {}", candidate.node().name)
    }
}
