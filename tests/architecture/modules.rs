//! The crate's modules, read from its sources, and which file defines the item that a path names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use syn::visit::{self, Visit};

/// The name under which the program's `main.rs` sees the library.
const CRATE: &str = "llmeval";

/// A file's place below src, with `/` between folders, and its text.
pub type Sources = BTreeMap<String, String>;

/// Index of a module in its [`Tree`].
pub type ModuleId = usize;

/// Everything that can be named, by module.
pub struct Tree {
    pub modules: Vec<Module>,
    /// Each file that a `mod` line leads to, parsed, and the module that it is.
    pub files: BTreeMap<String, (syn::File, ModuleId)>,
    /// `macro_rules!` are found by name from anywhere below their definition.
    macros: HashMap<String, ModuleId>,
}

pub struct Module {
    pub file: String,
    /// Names from the crate's root to this module.
    pub path: Vec<String>,
    pub parent: Option<ModuleId>,
    /// Compiled for tests alone.
    pub is_test: bool,
    pub children: Vec<(String, ModuleId)>,
    items: BTreeSet<String>,
    /// What `use` brings in: the name here, or none for `*`, and the path.
    imports: Vec<(Option<String>, Vec<String>)>,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Module(ModuleId),
    /// Something that this module defines.
    Item(ModuleId),
}

impl Tree {
    /// Follows the `mod` lines from `lib.rs` and `main.rs`.
    pub fn read(sources: &Sources) -> Self {
        let mut tree = Self { modules: Vec::new(), files: BTreeMap::new(), macros: HashMap::new() };
        for root in ["lib.rs", "main.rs"] {
            if sources.contains_key(root) {
                let id = tree.add(Module::new(root, Vec::new(), None, false));
                tree.read_file(sources, root, id, "");
            }
        }
        tree
    }

    fn add(&mut self, module: Module) -> ModuleId {
        self.modules.push(module);
        self.modules.len() - 1
    }

    fn read_file(&mut self, sources: &Sources, file: &str, id: ModuleId, folder: &str) {
        let text = sources.get(file).unwrap_or_else(|| panic!("{file}: a `mod` line leads here, and there is no file"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.modules[id].is_test |= parsed.attrs.iter().any(is_test_attribute);
        Names { tree: self, sources, module: id, folder: folder.to_owned() }.visit_file(&parsed);
        self.files.insert(file.to_owned(), (parsed, id));
    }

    /// What `path`, written in module `from`, leads to; nothing where it leads out of the crate.
    pub fn resolve(&self, from: ModuleId, path: &[String]) -> BTreeSet<Target> {
        self.walk(from, path, &mut BTreeSet::new())
    }

    fn walk(&self, from: ModuleId, path: &[String], seen: &mut BTreeSet<(ModuleId, String)>) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        let (first, rest) = path.split_first().expect("a path has a first name");
        match first.as_str() {
            "crate" => targets.insert(Target::Module(self.root(from))),
            "self" => targets.insert(Target::Module(from)),
            "super" => match self.modules[from].parent {
                Some(parent) => targets.insert(Target::Module(parent)),
                None => false,
            },
            CRATE => targets.insert(Target::Module(0)),
            name => {
                targets = self.look_up(from, name, seen);
                false
            }
        };
        for name in rest {
            targets = targets
                .into_iter()
                .flat_map(|target| match target {
                    Target::Module(module) if name == "super" => {
                        self.modules[module].parent.map(Target::Module).into_iter().collect()
                    }
                    Target::Module(module) => {
                        let found = self.look_up(module, name, seen);
                        // What a macro wrote can't be seen, but its place can.
                        if found.is_empty() { BTreeSet::from([Target::Item(module)]) } else { found }
                    }
                    item => BTreeSet::from([item]),
                })
                .collect();
        }
        targets
    }

    /// What `name` means in `module`: its own items and modules, then what `use` brings in.
    fn look_up(&self, module: ModuleId, name: &str, seen: &mut BTreeSet<(ModuleId, String)>) -> BTreeSet<Target> {
        if !seen.insert((module, name.to_owned())) {
            return BTreeSet::new();
        }
        let here = &self.modules[module];
        let mut found: BTreeSet<Target> =
            here.children.iter().filter(|(child, _)| child == name).map(|(_, id)| Target::Module(*id)).collect();
        if here.items.contains(name) {
            found.insert(Target::Item(module));
        }
        for (_, path) in here.imports.iter().filter(|(import, _)| import.as_deref() == Some(name)) {
            found.extend(self.walk(module, path, seen));
        }
        if found.is_empty() {
            for (_, path) in here.imports.iter().filter(|(import, _)| import.is_none()) {
                for target in self.walk(module, path, &mut seen.clone()) {
                    if let Target::Module(other) = target {
                        found.extend(self.look_up(other, name, seen));
                    }
                }
            }
        }
        seen.remove(&(module, name.to_owned()));
        found
    }

    /// The module that defines the macro `name`.
    pub fn find_macro(&self, name: &str) -> Option<ModuleId> {
        self.macros.get(name).copied()
    }

    fn root(&self, mut module: ModuleId) -> ModuleId {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// Whether `module` is `other` or lies below it.
    pub fn is_within(&self, module: ModuleId, other: ModuleId) -> bool {
        module == other || self.modules[module].parent.is_some_and(|parent| self.is_within(parent, other))
    }

    /// The module that `path` names by the names of modules alone, as far as those lead.
    pub fn named_module(&self, from: ModuleId, path: &[String]) -> Option<ModuleId> {
        let mut names = path.iter();
        let mut module = match names.next()?.as_str() {
            "crate" => self.root(from),
            "self" => from,
            "super" => self.modules[from].parent?,
            CRATE => 0,
            _ => return None,
        };
        for name in names {
            let next = match name.as_str() {
                "super" => self.modules[module].parent,
                _ => self.modules[module].children.iter().find(|(child, _)| child == name).map(|(_, id)| *id),
            };
            let Some(next) = next else { break };
            module = next;
        }
        Some(module)
    }
}

impl Module {
    fn new(file: &str, path: Vec<String>, parent: Option<ModuleId>, is_test: bool) -> Self {
        Self {
            file: file.to_owned(),
            path,
            parent,
            is_test,
            children: Vec::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
        }
    }
}

/// Collects the names that a file's modules define.
struct Names<'a> {
    tree: &'a mut Tree,
    sources: &'a Sources,
    module: ModuleId,
    /// Where the files of the current module's own modules lie: "" or a folder with a `/` at its end.
    folder: String,
}

impl Names<'_> {
    fn define(&mut self, name: &syn::Ident) {
        self.tree.modules[self.module].items.insert(name.to_string());
    }

    /// The file of `mod name;`, and where the files of its own modules lie.
    fn file_of(&self, module: &syn::ItemMod) -> (String, String) {
        let name = module.ident.to_string();
        if let Some(path) = module.attrs.iter().find_map(path_attribute) {
            let file = format!("{}{path}", folder_of(&self.tree.modules[self.module].file));
            return (file.clone(), folder_of(&file).to_owned());
        }
        let inside = format!("{}{name}/", self.folder);
        let as_folder = format!("{inside}mod.rs");
        match self.sources.contains_key(&as_folder) {
            true => (as_folder, inside),
            false => (format!("{}{name}.rs", self.folder), inside),
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Const(item) => self.define(&item.ident),
            syn::Item::Enum(item) => self.define(&item.ident),
            syn::Item::Fn(item) => self.define(&item.sig.ident),
            syn::Item::Static(item) => self.define(&item.ident),
            syn::Item::Struct(item) => self.define(&item.ident),
            syn::Item::Trait(item) => self.define(&item.ident),
            syn::Item::TraitAlias(item) => self.define(&item.ident),
            syn::Item::Type(item) => self.define(&item.ident),
            syn::Item::Union(item) => self.define(&item.ident),
            syn::Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    self.define(name);
                    self.tree.macros.insert(name.to_string(), self.module);
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_foreign_item(&mut self, item: &'ast syn::ForeignItem) {
        match item {
            syn::ForeignItem::Fn(item) => self.define(&item.sig.ident),
            syn::ForeignItem::Static(item) => self.define(&item.ident),
            syn::ForeignItem::Type(item) => self.define(&item.ident),
            _ => {}
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // `use ::name` leads out of the crate.
        if item.leading_colon.is_none() {
            for leaf in leaves(&item.tree) {
                self.tree.modules[self.module].imports.push((leaf.name, leaf.path));
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let here = &self.tree.modules[self.module];
        let is_test = here.is_test || item.attrs.iter().any(is_test_attribute);
        let mut path = here.path.clone();
        path.push(name.clone());
        let (file, folder) = match item.content {
            Some(_) => (here.file.clone(), format!("{}{name}/", self.folder)),
            None => self.file_of(item),
        };
        let id = self.tree.add(Module::new(&file, path, Some(self.module), is_test));
        self.tree.modules[self.module].children.push((name, id));
        let Some((_, items)) = &item.content else {
            return self.tree.read_file(self.sources, &file, id, &folder);
        };
        let outer = (std::mem::replace(&mut self.module, id), std::mem::replace(&mut self.folder, folder));
        items.iter().for_each(|item| self.visit_item(item));
        (self.module, self.folder) = outer;
    }
}

/// One name that a `use` brings in.
pub struct Leaf {
    /// Its name here; none for `*`.
    pub name: Option<String>,
    pub path: Vec<String>,
}

/// All names that a `use` brings in, `self` and groups resolved.
pub fn leaves(tree: &syn::UseTree) -> Vec<Leaf> {
    fn collect(tree: &syn::UseTree, prefix: &[String], found: &mut Vec<Leaf>) {
        let joined = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => collect(&path.tree, &joined(&path.ident), found),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| collect(item, prefix, found)),
            syn::UseTree::Glob(_) => found.push(Leaf { name: None, path: prefix.to_vec() }),
            syn::UseTree::Name(name) => {
                // `a::{self}` brings `a` in.
                let path =
                    if name.ident == "self" && !prefix.is_empty() { prefix.to_vec() } else { joined(&name.ident) };
                found.push(Leaf { name: path.last().cloned(), path });
            }
            syn::UseTree::Rename(name) => {
                let path =
                    if name.ident == "self" && !prefix.is_empty() { prefix.to_vec() } else { joined(&name.ident) };
                found.push(Leaf { name: Some(name.rename.to_string()), path });
            }
        }
    }
    let mut found = Vec::new();
    collect(tree, &[], &mut found);
    found
}

/// Whether an attribute leaves what it stands at to tests: `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`.
pub fn is_test_attribute(attribute: &syn::Attribute) -> bool {
    fn demands_test(meta: &syn::Meta) -> bool {
        match meta {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
                .is_ok_and(|parts| parts.iter().any(demands_test)),
            _ => false,
        }
    }
    match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<syn::Meta>().is_ok_and(|meta| demands_test(&meta))
        }
        syn::Meta::Path(path) => path.segments.last().is_some_and(|name| name.ident == "test"),
        _ => false,
    }
}

fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) if pair.path.is_ident("path") => {
            Some(path.value())
        }
        _ => None,
    }
}

/// The folder of a file: "" or with a `/` at its end.
fn folder_of(file: &str) -> &str {
    file.rfind('/').map_or("", |slash| &file[..=slash])
}
