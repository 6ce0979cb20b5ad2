//! Drafts a manifest for a network that has none, and adds measured values to a manifest.

use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::engine::{self, Inspection, Recalibration, error_rate_tables};

const NUMBERS_A_LINE: usize = 8;

/// The comment above a guessed input, until a person or a calibration replaces it.
const GUESS: &str =
    "# What stands here is a guess by `likeness model check`: compare it with what the network";

/// A pixel convention of training programs: (pixel - mean) * scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convention {
    /// The name of the convention.
    pub(super) name: &'static str,
    colour: &'static str,
    mean: &'static [f64],
    scale: &'static [f64],
}

/// Conventions for three channels, the most common first. The means and standard deviations of
/// `ImageNet` are those that torchvision documents, times 255.
const COLOURED: [Convention; 7] = [
    Convention { name: "-1 to 1, RGB", colour: "rgb", mean: &[127.5; 3], scale: &[1.0 / 127.5] },
    Convention { name: "-1 to 1, BGR", colour: "bgr", mean: &[127.5; 3], scale: &[1.0 / 127.5] },
    Convention { name: "0 to 1, RGB", colour: "rgb", mean: &[0.0; 3], scale: &[1.0 / 255.0] },
    Convention { name: "0 to 1, BGR", colour: "bgr", mean: &[0.0; 3], scale: &[1.0 / 255.0] },
    Convention { name: "0 to 255, RGB", colour: "rgb", mean: &[0.0; 3], scale: &[1.0] },
    Convention { name: "0 to 255, BGR", colour: "bgr", mean: &[0.0; 3], scale: &[1.0] },
    Convention {
        name: "ImageNet's mean and deviation, RGB",
        colour: "rgb",
        mean: &[123.675, 116.28, 103.53],
        scale: &[1.0 / 58.395, 1.0 / 57.12, 1.0 / 57.375],
    },
];

/// Conventions for one channel.
const GREY: [Convention; 3] = [
    Convention { name: "0 to 1", colour: "grey", mean: &[0.0], scale: &[1.0 / 255.0] },
    Convention { name: "-1 to 1", colour: "grey", mean: &[127.5], scale: &[1.0 / 127.5] },
    Convention { name: "0 to 255", colour: "grey", mean: &[0.0], scale: &[1.0] },
];

/// The reason why no manifest can be drafted: the network is not an encoder.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum NotAnEncoder {
    /// The number of inputs is not one.
    #[error("it has {0} inputs. {EXPORT}", EXPORT = engine::EXPORT_THE_ENCODER)]
    Inputs(usize),
    /// The input is not an image.
    #[error("its input is not an image: {0}")]
    Image(String),
    /// The output is not one vector.
    #[error("its output is {0}, not one vector of known length")]
    Output(String),
}

/// The properties of an encoder that its shapes reveal.
struct Shapes {
    width: i64,
    height: i64,
    channels: usize,
    layout: &'static str,
    length: i64,
}

impl Shapes {
    fn of(network: &Inspection) -> Result<Self, NotAnEncoder> {
        let [input] = network.inputs.as_slice() else {
            return Err(NotAnEncoder::Inputs(network.inputs.len()));
        };
        // A side of any length gets the size that faces are usually aligned to.
        let side = |length: Option<usize>| length.unwrap_or(112) as i64;
        let (layout, channels, height, width) = match *input.shape.as_slice() {
            [_, Some(channels @ (1 | 3)), height, width] => ("nchw", channels, height, width),
            [_, height, width, Some(channels @ (1 | 3))] => ("nhwc", channels, height, width),
            _ => return Err(NotAnEncoder::Image(input.to_string())),
        };
        let outputs = || network.outputs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let [output] = network.outputs.as_slice() else {
            return Err(NotAnEncoder::Output(outputs().join(", ")));
        };
        let length = output.shape.iter().skip(1).copied().try_fold(1, |all, n| Some(all * n?));
        let length = length.filter(|_| output.shape.len() > 1);
        let length = length.ok_or_else(|| NotAnEncoder::Output(outputs().join(", ")))? as i64;
        Ok(Self { width: side(width), height: side(height), channels, layout, length })
    }
}

/// Returns the conventions that may fit a network, the most common first.
///
/// # Errors
/// [`NotAnEncoder`].
pub(super) fn conventions(network: &Inspection) -> Result<&'static [Convention], NotAnEncoder> {
    Ok(if Shapes::of(network)?.channels == 1 { &GREY } else { &COLOURED })
}

/// Returns a manifest for the network `name`, by the description in its file and the convention,
/// without golden output and error rates.
///
/// # Errors
/// [`NotAnEncoder`].
pub(super) fn manifest(
    network: &Inspection,
    name: &str,
    convention: &Convention,
) -> Result<String, NotAnEncoder> {
    let Shapes { width, height, channels, layout, length } = Shapes::of(network)?;
    let array = |numbers: &[f64]| value(numbers.iter().copied().collect::<Array>());
    let mut document = DocumentMut::new();
    name_model(&mut document, network, name);
    let about_input = format!(
        "\n# Pixels become (pixel - mean) * scale.\n{GUESS}\n\
         # was trained with, and if you change it, delete [golden] and, if it is there, [quantization].\n"
    );
    let input = section(&mut document, "input", &about_input);
    input["width"] = value(width);
    input["height"] = value(height);
    input["channels"] = value(channels as i64);
    input["layout"] = value(layout);
    input["colour"] = value(convention.colour);
    input["mean"] = array(convention.mean);
    input["scale"] = match convention.scale {
        [scale] => value(*scale),
        scales => array(scales),
    };
    section(&mut document, "output", "\n")["length"] = value(length);
    let about_comparison = "\n# score = scale * cosine - offset, the log-odds that two photos show the same person;\n\
                            # `likeness model check FILE --calibrate DIR` measures both, and the error rates.\n";
    let comparison = section(&mut document, "comparison", about_comparison);
    comparison["kind"] = value("cosine");
    comparison["scale"] = value(1.0);
    comparison["offset"] = value(0.0);
    Ok(document.to_string())
}

/// Returns whether a manifest has a golden output; false if it is not
/// TOML, which is reported when it is read.
pub(super) fn has_golden(manifest: &str) -> bool {
    manifest.parse::<DocumentMut>().is_ok_and(|document| document.contains_key("golden"))
}

/// Returns whether a manifest has ranges, but no golden output in 8 bits.
pub(super) fn lacks_golden_bytes(manifest: &str) -> bool {
    has_ranges(manifest)
        && manifest.parse::<DocumentMut>().is_ok_and(|document| {
            document.get("golden").is_none_or(|golden| golden.get("bytes").is_none())
        })
}

/// Returns whether a manifest has the ranges of the network's maps.
pub(super) fn has_ranges(manifest: &str) -> bool {
    manifest.parse::<DocumentMut>().is_ok_and(|document| document.contains_key("quantization"))
}

/// Returns whether the input is still the one that [`manifest`] guessed.
pub(super) fn is_a_guess(manifest: &str) -> bool {
    manifest.contains(GUESS)
}

/// Returns the manifest with another calibration and its error rates. A guessed input becomes a
/// chosen one.
///
/// # Errors
/// If the manifest is not TOML.
pub(super) fn with_calibration(
    manifest: &str,
    measured: &Recalibration,
) -> Result<String, toml_edit::TomlError> {
    let chosen = "# What stands here was chosen among the usual conventions by `--calibrate`: compare it with what it";
    let mut document: DocumentMut = manifest.replace(GUESS, chosen).parse()?;
    document["comparison"]["scale"] = value(measured.calibration.scale());
    document["comparison"]["offset"] = value(measured.calibration.offset());
    document["error_rate"] = Item::ArrayOfTables(error_rate_tables(&measured.error_rates));
    document.remove("profile_error_rate");
    Ok(document.to_string())
}

/// Returns the manifest with the network's output for the test pattern as golden output.
///
/// # Errors
/// If the manifest is not TOML.
pub(super) fn with_golden(manifest: &str, output: &[f32]) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = manifest.parse()?;
    let about = "\n# What the network gives for the test pattern: it proves at each start that it still sees\n\
                 # what it saw when this was written.\n";
    section(&mut document, "golden", about)["output"] = value(lines(output));
    Ok(document.to_string())
}

/// Returns the manifest with the output in 8 bits beside the golden output.
///
/// # Errors
/// If the manifest is not TOML.
pub(super) fn with_golden_bytes(
    manifest: &str,
    output: &[f32],
) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = manifest.parse()?;
    document["golden"]["bytes"] = value(lines(output));
    Ok(document.to_string())
}

/// Returns the manifest with the ranges of the network's maps.
///
/// # Errors
/// If the manifest is not TOML.
pub(super) fn with_ranges(
    manifest: &str,
    ranges: &[(String, [f32; 2])],
) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = manifest.parse()?;
    let about = "\n# The range of each map, for 8 bits: the means of the lowest and of the highest values of the faces,\n\
                 # measured by `likeness model check --calibrate`.\n";
    let table = section(&mut document, "quantization", about);
    for (name, range) in ranges {
        table[name.as_str()] = value(range.iter().copied().map(short).collect::<Array>());
    }
    Ok(document.to_string())
}

/// Returns numbers in lines.
fn lines(numbers: &[f32]) -> Array {
    let mut numbers: Array = numbers.iter().copied().map(short).collect();
    for number in numbers.iter_mut().step_by(NUMBERS_A_LINE) {
        number.decor_mut().set_prefix("\n  ");
    }
    numbers.set_trailing("\n");
    numbers
}

/// Returns the shortest decimal of the float, instead of all digits of its value as a double.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// Adds the section that names the network; what its file does not tell is left open.
pub(super) fn name_model(document: &mut DocumentMut, network: &Inspection, name: &str) {
    let model = section(document, "model", "");
    model["name"] = value(name);
    model["sha256"] = value(network.digest.to_string());
    model["licence"] = value("?");
    model["provenance"] = value("?");
}

pub(super) fn section<'a>(document: &'a mut DocumentMut, name: &str, before: &str) -> &'a mut Item {
    let mut table = Table::new();
    table.decor_mut().set_prefix(before);
    document[name] = Item::Table(table);
    &mut document[name]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::embedding::ModelId;
    use crate::engine::Port;

    fn network(inputs: &[&[Option<usize>]], output: &[Option<usize>]) -> Inspection {
        let port = |shape: &[Option<usize>]| Port {
            name: "x".to_owned(),
            element: "float".to_owned(),
            shape: shape.to_vec(),
        };
        Inspection {
            digest: ModelId::from_digest([7; 32]),
            inputs: inputs.iter().map(|shape| port(shape)).collect(),
            outputs: vec![port(output)],
            operators: BTreeMap::new(),
            lacking: Vec::new(),
        }
    }

    fn drafted(input: &[Option<usize>]) -> Result<toml::Table, NotAnEncoder> {
        let network = network(&[input], &[None, Some(64)]);
        let convention = &conventions(&network)?[0];
        Ok(manifest(&network, "x", convention)?.parse().unwrap())
    }

    #[test]
    fn layout_is_derived_from_the_shapes() {
        let grey = drafted(&[None, Some(60), Some(50), Some(1)]).unwrap();
        let input = &grey["input"];
        assert_eq!(input["layout"].as_str(), Some("nhwc"));
        assert_eq!(
            (input["width"].as_integer(), input["height"].as_integer()),
            (Some(50), Some(60))
        );
        assert_eq!(input["colour"].as_str(), Some("grey"));
        assert_eq!(grey["output"]["length"].as_integer(), Some(64));
        let coloured = drafted(&[Some(1), Some(3), None, None]).unwrap();
        assert_eq!(coloured["input"]["layout"].as_str(), Some("nchw"));
        assert_eq!(coloured["input"]["width"].as_integer(), Some(112));
    }

    #[test]
    fn network_that_is_not_an_encoder_is_refused_with_reason() {
        assert!(matches!(drafted(&[None, Some(128)]), Err(NotAnEncoder::Image(_))));
        let image: &[Option<usize>] = &[Some(1), Some(3), Some(9), Some(9)];
        let two = network(&[image, image], &[None, Some(1)]);
        assert_eq!(conventions(&two).unwrap_err(), NotAnEncoder::Inputs(2));
        let map = network(&[image], &[None, Some(64), None]);
        assert!(matches!(conventions(&map), Err(NotAnEncoder::Output(_))));
    }

    #[test]
    fn new_golden_output_replaces_the_former_one_only() {
        let before = "# mine\n[model]\nname = \"x\" # kept\n\n[golden]\noutput = [1.0]\n";
        let after = with_golden(before, &[0.1, -2.5]).unwrap();
        assert!(after.starts_with("# mine\n[model]\nname = \"x\" # kept\n"), "{after}");
        let golden = &after.parse::<toml::Table>().unwrap()["golden"]["output"];
        assert_eq!(golden.as_array().unwrap(), &[0.1.into(), (-2.5).into()]);
    }
}
