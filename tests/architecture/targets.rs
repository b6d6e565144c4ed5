//! Where code asks which system or processor it is compiled for.

use super::modules::Tree;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The file and the condition of every `cfg`, `cfg_attr`, `cfg!` and `cfg_select!` that asks for the target, tests included.
pub fn asked(tree: &Tree) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, (file, _)) in &tree.files {
        let mut finder = Finder { conditions: Vec::new() };
        finder.visit_file(file);
        finder.conditions.dedup();
        all.extend(finder.conditions.into_iter().map(|condition| (name.clone(), condition)));
    }
    all
}

struct Finder {
    conditions: Vec<String>,
}

impl Finder {
    fn check(&mut self, name: &proc_macro2::Ident, condition: &TokenStream) {
        if ["cfg", "cfg_attr", "cfg_select"].iter().any(|cfg| name == cfg) && names_target(condition) {
            self.conditions.push(condition.to_string());
        }
    }

    /// Conditions among a macro's tokens: `#[cfg(…)]`, `cfg!(…)`.
    fn scan(&mut self, tokens: TokenStream) {
        let mut name = None;
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    if let Some(name) = &name {
                        self.check(name, &group.stream());
                    }
                    self.scan(group.stream());
                    name = None;
                }
                TokenTree::Ident(ident) => name = Some(ident),
                TokenTree::Punct(mark) if mark.as_char() == '!' => {}
                _ => name = None,
            }
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && let Some(name) = list.path.get_ident()
        {
            self.check(name, &list.tokens);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.segments.last() {
            self.check(&name.ident, &call.tokens);
        }
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// Whether a condition speaks of the target, at any depth.
fn names_target(condition: &TokenStream) -> bool {
    condition.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) => names_target(&group.stream()),
        TokenTree::Ident(name) => {
            let name = name.to_string();
            name.starts_with("target_") || name == "unix" || name == "windows"
        }
        _ => false,
    })
}
