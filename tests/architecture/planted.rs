//! What the tests of the architecture look for is found where it is planted, and only there.

use super::modules::Sources;
use super::{
    Arrows, Code, all_circles, forbidden_arrows, forbidden_rooms, foreign_crates, misplaced_targets, named_devices,
};

fn code(files: &[(&str, &str)]) -> Code {
    let owned = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
    Code::read(&files.iter().map(owned).collect::<Sources>())
}

/// The ways round that are found, without their examples.
fn ways(files: &[(&str, &str)]) -> Vec<String> {
    let circles = all_circles(&code(files).references);
    circles.iter().map(|(folder, circle)| format!("{folder}: {}", circle.lines().next().unwrap())).collect()
}

/// The folder `part` with the files `a` and `b`, of which `b` names `a`, and whether `a`, as given, closes the circle.
fn closes_circle(a: &str) -> bool {
    let files = [
        ("lib.rs", "mod part;"),
        ("part/mod.rs", "mod a; mod b; mod c; pub use b::Shown; pub use c::*;"),
        ("part/a.rs", a),
        ("part/b.rs", "use super::a::A; pub struct Shown; pub struct B; pub const WIDTH: usize = 1; pub fn make() {}"),
        ("part/c.rs", "pub use super::b::B as Renamed;"),
    ];
    let found = ways(&files);
    assert!(found.is_empty() || found == ["part: a → b → a"] || found == ["part: a → c → b → a"], "{found:?}");
    !found.is_empty()
}

#[test]
fn a_circle_is_found_however_its_import_is_written() {
    for import in [
        "use super::b::B;",
        "use crate::part::b::B;",
        "use crate::part::{b::{B, make}};",
        "use super::{b};",
        "use super::b;",
        "use super::b::{self as other};",
        "use self::super::b::B;",
        "pub(crate) use super::b::B;",
        "pub use super::b::B;",
        "fn f(_: &super::b::B) -> Option<crate::part::b::B> { None }",
        "fn f() { super::b::make(); }",
        "fn f() { use super::b::make; make(); }",
        "fn f() -> usize { let [x] = [0; super::b::WIDTH]; x }",
        "fn f() { println!(\"{}\", super::b::WIDTH); }",
        "fn f() { assert!(matches!(1, crate::part::{b::WIDTH})); }",
        "macro_rules! m { () => { $crate::part::b::make() } }",
        "mod inside { fn f() { super::super::b::make(); } }",
        "#[arg(value_parser = super::b::make)] pub struct X;",
        "impl From<super::b::B> for X { fn from(_: super::b::B) -> X { X } } struct X;",
        "#[cfg(not(test))] use super::b::B;",
    ] {
        assert!(closes_circle(&format!("pub struct A; {import}")), "{import}");
    }
}

#[test]
fn a_name_counts_for_the_file_that_defines_it() {
    for import in [
        "use super::Shown;",
        "use crate::part::Shown;",
        "use super::*; fn f(_: Shown) {}",
        "use super::Renamed;",
        "use super::c::Renamed;",
        "use super::super::part; fn f(_: part::Shown) {}",
    ] {
        assert!(closes_circle(&format!("pub struct A; {import}")), "{import}");
    }
}

#[test]
fn what_only_looks_like_an_import_closes_no_circle() {
    for text in [
        "// use super::b::B;",
        "/* use super::b::B; */",
        "/// [`super::b::B`] is beside it.\nfn f() {}",
        "const TEXT: &str = \"use super::b::B; // crate::part::b\";",
        "const TEXT: &str = r#\"use super::b::B;\"#;",
        "#[cfg(test)] mod tests { use super::super::b::B; }",
        "#[cfg(all(test, unix))] use super::b::B;",
        "#[test] fn t() { super::b::make(); }",
        "use b::B;",
        "use ::b::B;",
        "use super::*;",
        "fn f(b: usize) -> usize { println!(\"{}\", b); b }",
        "pub(in crate::part) fn f() {}",
    ] {
        assert!(!closes_circle(&format!("pub struct A; {text}")), "{text}");
    }
}

#[test]
fn a_file_for_tests_alone_closes_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "#[cfg(test)] mod tests; pub struct A;"),
        ("a/tests.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
    ];
    assert_eq!(ways(&files), Vec::<String>::new());
}

#[test]
fn rooms_stand_for_all_that_lies_in_them() {
    let files = [
        ("lib.rs", "mod part;"),
        ("part/mod.rs", "mod load; mod kv; mod layers;"),
        ("part/load.rs", "use super::layers::mlp::Mlp;"),
        ("part/kv/mod.rs", "mod own; pub use own::Own;"),
        ("part/kv/own.rs", "use super::super::layers::mlp::Mlp; pub struct Own;"),
        ("part/layers/mod.rs", "pub mod mlp; pub mod norm;"),
        ("part/layers/mlp.rs", "pub struct Mlp;"),
        ("part/layers/norm.rs", "use crate::part::kv::Own;"),
    ];
    assert_eq!(ways(&files), ["part: kv → layers → kv"]);
}

#[test]
fn folders_and_the_files_that_hold_modules_may_close_circles_too() {
    let folders = [
        ("lib.rs", "pub mod a; pub mod b; pub use a::A;"),
        ("a/mod.rs", "use crate::b::B; pub struct A;"),
        ("b/mod.rs", "pub struct B(crate::A);"),
    ];
    assert_eq!(ways(&folders), [": a → b → a"]);
    let holder = [
        ("lib.rs", "mod part;"),
        ("part/mod.rs", "mod run; pub const FAILED: u8 = 1; fn main() { run::run() }"),
        ("part/run.rs", "use super::FAILED; pub fn run() {}"),
    ];
    assert_eq!(ways(&holder), ["part: mod → run → mod"]);
}

#[test]
fn a_module_that_lies_elsewhere_is_followed() {
    let files = [
        ("lib.rs", "mod part;"),
        (
            "part/mod.rs",
            "mod menu; #[cfg(unix)] #[path = \"linux.rs\"] mod system; #[cfg(windows)] #[path = \"other/mod.rs\"] mod system;",
        ),
        ("part/menu.rs", "pub use super::system::Bar; pub struct Entry;"),
        ("part/linux.rs", "pub struct Bar;"),
        ("part/other/mod.rs", "use super::menu::Entry; pub struct Bar;"),
    ];
    assert_eq!(ways(&files), ["part: menu → other → menu"]);
}

#[test]
fn a_circle_is_told_with_the_names_that_close_it() {
    let files = [
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "\nuse crate::b::B;\npub struct A;"),
        ("b.rs", "pub struct B(super::a::A);"),
    ];
    let circles = all_circles(&code(&files).references);
    let told = "a → b → a\n    src/a.rs names `crate::b::B`\n    src/b.rs names `super::a::A`";
    assert_eq!(circles, [(String::new(), told.to_owned())]);
}

#[test]
fn an_arrow_that_is_not_drawn_is_found_however_it_is_written() {
    let parts = [
        ("lib.rs", "pub mod protocol; pub mod hub; pub mod engine; pub mod session; pub use session::Shown;"),
        ("protocol.rs", ""),
        ("engine.rs", "pub struct Engine;"),
        ("session.rs", "pub struct Shown;"),
    ];
    for hub in [
        "use crate::engine::Engine;",
        "use super::engine::Engine;",
        "use crate::{protocol, engine::Engine};",
        "pub use crate::engine;",
        "fn f() -> crate::engine::Engine { todo!() }",
        "fn f() { dbg!(crate::session::Shown); }",
        "use crate::Shown;",
        "#[cfg(test)] mod tests { use crate::engine::Engine; }",
    ] {
        let found = forbidden_arrows(&code(&[&parts[..], &[("hub.rs", hub)]].concat()).references);
        assert!(found.len() == 1 && found[0].contains("hub must not import"), "{hub}: {found:?}");
    }
    let fine = "use crate::protocol; // crate::engine\nconst TEXT: &str = \"crate::engine::Engine\";";
    assert_eq!(forbidden_arrows(&code(&[&parts[..], &[("hub.rs", fine)]].concat()).references), Vec::<String>::new());
}

#[test]
fn a_room_may_name_what_its_arrows_lead_to_and_nothing_else() {
    let table: &[(&str, Arrows)] = &[("part", &[("run", &["layers"]), ("layers", &["kernels"]), ("kernels", &[])])];
    let rooms = |run: &str, kernels: &str| {
        let files = [
            ("lib.rs", "mod part;"),
            ("part/mod.rs", "mod run; mod layers; mod kernels; mod other;"),
            ("part/run.rs", run),
            ("part/layers.rs", "pub struct Layer;"),
            ("part/kernels.rs", kernels),
            ("part/other.rs", "pub struct Other;"),
        ];
        forbidden_rooms(&code(&files).references, table)
    };
    let kernel = "pub struct Kernel;";
    assert_eq!(rooms("use super::{layers::Layer, kernels::Kernel};", kernel), Vec::<String>::new());
    assert_eq!(rooms("", "use super::layers::Layer;").len(), 1);
    assert_eq!(rooms("use super::other::Other;", kernel).len(), 1);
}

#[test]
fn outer_crates_are_seen_in_every_way_to_name_them() {
    for text in [
        "use mlx_rs::Array;",
        "use ::mlx_rs::Array;",
        "use mlx_rs;",
        "use {mlx_rs::{Array, Dtype}};",
        "fn f(_: mlx_rs::Array) {}",
        "fn f() { let _ = mlx_rs::array!([1]); }",
        "fn f() { println!(\"{}\", mlx_rs::version()); }",
        "#[derive(clap::Parser)] struct X;",
        "#[tokio::main] async fn f() {}",
        "#[cfg(test)] mod tests { use egui::Ui; }",
    ] {
        let found = foreign_crates(&code(&[("lib.rs", "mod text;"), ("text.rs", text)]).references);
        assert!(!found.is_empty(), "{text}");
    }
    for text in ["use my_mlx_rs::Array;", "fn f(x: X) { x.egui.draw(); }", "// use mlx_rs::Array;", "fn egui() {}"] {
        let found = foreign_crates(&code(&[("lib.rs", "mod text;"), ("text.rs", text)]).references);
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_device_is_found_outside_of_the_kernels_folder() {
    let files = |layer: &'static str, kernels: &'static str| {
        let common = [
            ("lib.rs", "mod model;"),
            ("model/mod.rs", "mod kernels; mod layers;"),
            ("model/kernels/cuda.rs", "pub fn product() {} pub struct Kernel;"),
        ];
        code(&[&common[..], &[("model/layers.rs", layer), ("model/kernels/mod.rs", kernels)]].concat())
    };
    let inside = "pub mod cuda; pub use cuda::product; fn f() { cuda::product(); }";
    assert_eq!(named_devices(&files("use super::kernels::product; use mlx::cuda::X;", inside)), Vec::<String>::new());
    for layer in [
        "use super::kernels::cuda;",
        "use super::kernels::cuda::product;",
        "use super::kernels; fn f() { kernels::cuda::product(); }",
        "fn f() { dbg!(crate::model::kernels::cuda::Kernel); }",
    ] {
        assert_eq!(named_devices(&files(layer, inside)).len(), 1, "{layer}");
    }
    let beside = [
        ("lib.rs", "mod model;"),
        ("model/mod.rs", "mod cpu;"),
        ("model/cpu/mod.rs", "mod a;"),
        ("model/cpu/a.rs", ""),
    ];
    assert_eq!(named_devices(&code(&beside)).len(), 2);
}

#[test]
fn every_question_for_the_target_is_found() {
    for text in [
        "#[cfg(target_os = \"macos\")] fn f() {}",
        "#[cfg(not(target_os = \"macos\"))] use a::b;",
        "#[cfg(all(target_os = \"linux\", target_arch = \"x86_64\"))] mod x {}",
        "#[cfg(\n    any(\n        feature = \"x\",\n        not(target_vendor = \"apple\"),\n    ),\n)]\nfn f() {}",
        "#[cfg(unix)] fn f() {}",
        "#[cfg(windows)] fn f() {}",
        "#[cfg(target_family = \"unix\")] fn f() {}",
        "#[cfg(target_feature = \"avx512f\")] fn f() {}",
        "#[cfg_attr(target_os = \"linux\", allow(dead_code))] fn f() {}",
        "#[cfg_attr(all(unix, test), ignore)] fn f() {}",
        "#![cfg(target_pointer_width = \"64\")]",
        "fn f() -> bool { cfg!(target_os = \"linux\") }",
        "fn f() -> bool { std::cfg!(any(windows, unix)) }",
        "fn f() { println!(\"{}\", cfg!(target_endian = \"little\")); }",
        "fn f() { #[cfg(unix)] let x = 1; }",
        "struct X { #[cfg(unix)] field: u8 }",
        "fn f(x: u8) { match x { #[cfg(windows)] 1 => {} _ => {} } }",
        "macro_rules! m { () => { #[cfg(target_os = \"linux\")] fn f() {} } }",
        "cfg_select! { unix => { fn f() {} } _ => {} }",
        "#[cfg(test)] mod tests { #[cfg(unix)] fn f() {} }",
    ] {
        assert_eq!(misplaced_targets(&code(&[("lib.rs", "mod hub;"), ("hub.rs", text)])).len(), 1, "{text}");
        let in_place = [("lib.rs", "mod platform;"), ("platform/mod.rs", "mod a;"), ("platform/a.rs", text)];
        assert_eq!(misplaced_targets(&code(&in_place)), Vec::<String>::new(), "{text}");
    }
    for text in [
        "#[cfg(test)] mod tests {}",
        "#[cfg(feature = \"window\")] fn f() {}",
        "#[cfg_attr(docsrs, doc(cfg(feature = \"x\")))] fn f() {}",
        "// #[cfg(target_os = \"linux\")]",
        "const TEXT: &str = \"cfg(target_os)\";",
        "use std::os::unix::fs::symlink;",
        "fn f() -> bool { cfg!(debug_assertions) }",
    ] {
        let found = misplaced_targets(&code(&[("lib.rs", "mod hub;"), ("hub.rs", text)]));
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}
