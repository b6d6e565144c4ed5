//! Every place where a source file names something: which path, and which files define what it leads to.

use super::modules::{Leaf, ModuleId, Target, Tree, is_test_attribute, leaves};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::visit::{self, Visit};

/// One naming.
#[derive(Clone, Debug)]
pub struct Reference {
    pub file: String,
    /// The path as it is written.
    pub path: Vec<String>,
    /// The files that define what it leads to; none where it leads out of the crate.
    pub to: BTreeSet<String>,
    /// What the names of modules alone lead to, from the crate's root; none where the path doesn't begin there.
    pub named: Option<Vec<String>>,
    /// The outer crate that it names.
    pub outer: Option<String>,
    /// A `pub use` of something below: it shows what others define, and needs nothing of it.
    pub is_shown: bool,
    /// Compiled for tests alone.
    pub in_test: bool,
}

impl Reference {
    /// Where it stands and what it says, for a person.
    pub fn describe(&self) -> String {
        format!("src/{} names `{}`", self.file, self.path.join("::"))
    }
}

/// All namings in all files.
pub fn references(tree: &Tree) -> Vec<Reference> {
    let mut all = Vec::new();
    for (name, (file, module)) in &tree.files {
        let in_test = tree.modules[*module].is_test;
        let mut finder = Finder { tree, file: name, module: *module, in_test, found: Vec::new() };
        finder.visit_file(file);
        all.append(&mut finder.found);
    }
    all
}

struct Finder<'a> {
    tree: &'a Tree,
    file: &'a str,
    module: ModuleId,
    in_test: bool,
    found: Vec<Reference>,
}

impl Finder<'_> {
    fn add(&mut self, path: Vec<String>, targets: BTreeSet<Target>, is_shown: bool, outer: Option<String>) {
        let files = targets.iter().map(|target| match target {
            Target::Module(module) | Target::Item(module) => self.tree.modules[*module].file.clone(),
        });
        let named = self.tree.named_module(self.module, &path).map(|module| self.tree.modules[module].path.clone());
        self.found.push(Reference {
            file: self.file.to_owned(),
            to: files.filter(|file| file != self.file).collect(),
            path,
            named,
            outer,
            is_shown,
            in_test: self.in_test,
        });
    }

    /// A path in code. One that ends at a module is a prefix, a visibility or a variable of the same name.
    fn name(&mut self, path: Vec<String>) {
        let targets = self.tree.resolve(self.module, &path);
        let outer = (targets.is_empty() && path.len() > 1).then(|| path[0].clone());
        let items = targets.into_iter().filter(|target| matches!(target, Target::Item(_))).collect();
        self.add(path, items, false, outer);
    }

    fn import(&mut self, leaf: Leaf, is_public: bool) {
        let mut targets = self.tree.resolve(self.module, &leaf.path);
        let outer = targets.is_empty().then(|| leaf.path[0].clone());
        // A module around this one is only a way to what lies in it; what `*` brings in counts where it is used.
        targets.retain(|target| match target {
            Target::Module(module) => leaf.name.is_some() && !self.tree.is_within(self.module, *module),
            Target::Item(_) => true,
        });
        let is_below = |target: &Target| match target {
            Target::Module(module) | Target::Item(module) => self.tree.is_within(*module, self.module),
        };
        let is_shown = is_public && targets.iter().all(is_below);
        self.add(leaf.path, targets, is_shown, outer);
    }

    /// The paths in what a macro is given.
    fn scan(&mut self, tokens: &TokenStream, fewest_names: usize) {
        let mut paths = Vec::new();
        paths_in(tokens.clone(), &[], &mut paths);
        for path in paths.into_iter().filter(|path| path.len() >= fewest_names) {
            self.name(path);
        }
    }

    fn within(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let outer = self.in_test;
        self.in_test |= attributes.iter().any(is_test_attribute);
        visit(self);
        self.in_test = outer;
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.within(attributes(item), |finder| visit::visit_item(finder, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |finder| visit::visit_impl_item_fn(finder, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let Some((_, items)) = &item.content else { return };
        let children = &self.tree.modules[self.module].children;
        let is_this = |(name, id): &&(String, ModuleId)| item.ident == name && self.tree.modules[*id].file == self.file;
        let id = children.iter().find(is_this).map(|(_, id)| *id).expect("every module has been read");
        let outer = std::mem::replace(&mut self.module, id);
        items.iter().for_each(|item| self.visit_item(item));
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        for leaf in leaves(&item.tree) {
            if item.leading_colon.is_some() {
                self.add(leaf.path.clone(), BTreeSet::new(), false, leaf.path.first().cloned());
            } else {
                self.import(leaf, is_public);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_some() {
            self.add(names.clone(), BTreeSet::new(), false, names.into_iter().next());
        } else {
            self.name(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident()
            && let Some(module) = self.tree.find_macro(&name.to_string())
        {
            self.add(vec![name.to_string()], BTreeSet::from([Target::Item(module)]), false, None);
        }
        self.visit_path(&call.path);
        self.scan(&call.tokens, 1);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        self.visit_path(attribute.path());
        // An attribute's single names are its own words.
        match &attribute.meta {
            syn::Meta::List(list) => self.scan(&list.tokens, 2),
            syn::Meta::NameValue(pair) => self.visit_expr(&pair.value),
            syn::Meta::Path(_) => {}
        }
    }
}

/// The paths among `tokens`, each after `prefix`.
fn paths_in(tokens: TokenStream, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_colons = |at: usize| {
        let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
        colon(at) && colon(at + 1)
    };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_start = at == 0
            || match &tokens[at - 1] {
                TokenTree::Punct(mark) => !(matches!(mark.as_char(), '.' | '\'') || at > 1 && is_colons(at - 2)),
                _ => true,
            };
        match token {
            TokenTree::Group(group) => paths_in(group.stream(), &[], found),
            TokenTree::Ident(name) if is_start => {
                let mut path = [prefix, &[name.to_string()]].concat();
                let mut is_group = false;
                while is_colons(at + 1) {
                    match tokens.get(at + 3) {
                        Some(TokenTree::Ident(name)) => path.push(name.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            paths_in(group.stream(), &path, found);
                            is_group = true;
                        }
                        _ => break,
                    }
                    at += 3;
                }
                if !is_group {
                    found.push(path);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
