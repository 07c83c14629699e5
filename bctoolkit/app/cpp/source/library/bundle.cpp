// A bundle on disk: its seal, its manifest, and its files, each of which is compared with its hash before it is used.

namespace bctoolkit {
namespace {

constexpr std::uint64_t most_json = 64u << 20, most_seal = 1024, most_file = 1u << 30;
constexpr std::int64_t longest_side = 16'384, most_images = 10'000'000, most_labels = 100'000, most_model = (1u << 31) - 1;
constexpr std::uint64_t most_pixel_values = 1u << 26;
constexpr std::size_t longest_label = 200;
constexpr std::size_t nearest = 3;

/// How far the model's answers may be from the float32 Keras network's.
struct Limits {
  double max_abs_diff, mean_abs_diff, top1_agreement;
};

struct Acceptance {
  double temperature = 1, min_confidence = 0, max_distance = 0;
};

/// What `manifest.json` says; the files have the names that `bctk` gives them, so that none is ever a path.
struct Manifest {
  std::string name, format, quantization;
  Contract contract;
  std::vector<std::string> labels;
  std::size_t golden_count = 0, validation_count = 0;
  std::optional<Acceptance> acceptance;
  Limits limits{};
  std::string model_sha256;
  bool states_identity = false;
  Json identity;  ///< Labels, input and source, which other files have to state, too.
};

struct Golden {
  std::vector<Picture> pictures;
  std::vector<std::vector<float>> probabilities;
};

bool is_probability(float value) { return value >= -0.01f && value <= 1.01f; }  // false for NaN

/// A class's name is visible characters: neither controls nor what turns or hides text.
void require_label(const std::string& label, const std::string& source) {
  bool is_visible = false;
  for (std::size_t at = 0; at < label.size();) {
    const std::size_t length = utf8_length(&label[at], label.size() - at);
    std::uint32_t code = static_cast<unsigned char>(label[at]) & (length == 1 ? 0x7F : 0xFF >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(label[at + i]) & 0x3F);
    const bool is_hidden = code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xAD || code == 0xFEFF ||
                           (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                           (code >= 0x2060 && code <= 0x206F) || (code >= 0xE0000 && code <= 0xE0FFF);
    if (is_hidden) throw Error(shown(source) + ": the label '" + shown(label) + "' holds a character that cannot be seen");
    is_visible = is_visible || code != ' ';
    at += length;
  }
  if (!is_visible || label.size() > longest_label) throw Error(shown(source) + ": a label is blank or too long");
}

Contract contract_of(const Json& input, const std::string& source) {
  Contract contract;
  contract.height = static_cast<int>(whole_of(input, "height", longest_side, source));
  contract.width = static_cast<int>(whole_of(input, "width", longest_side, source));
  contract.channels = static_cast<int>(whole_of(input, "channels", 1024, source));
  if (contract.channels != 1 && contract.channels != 3) {
    throw Error(shown(source) + ": the model takes images of " + std::to_string(contract.channels) + " channels, which are no pictures");
  }
  const std::uint64_t values = std::uint64_t(contract.height) * std::uint64_t(contract.width) * std::uint64_t(contract.channels);
  if (values > most_pixel_values) throw Error(shown(source) + ": an image of " + std::to_string(values) + " values is too large");
  const std::string& dtype = text_of(input, "dtype", source);
  contract.is_float = dtype == "float32";
  if (!contract.is_float && dtype != "uint8") throw Error(shown(source) + ": unknown dtype '" + shown(dtype) + "'");
  if (text_of(input, "layout", source) != "NHWC") throw Error(shown(source) + ": unknown layout; wanted NHWC");
  const Json* crop = input.find("crop");
  if (crop != nullptr && crop->kind == Json::Kind::number) {
    contract.crop = Crop::pixels;
    contract.crop_side = static_cast<int>(whole_of(input, "crop", longest_side, source));
  } else {
    const std::string& words = text_of(input, "crop", source);
    contract.crop = words == "none" ? Crop::none : Crop::square;
    if (words != "none" && words != "square") throw Error(shown(source) + ": unknown crop '" + shown(words) + "'");
  }
  const Json* picture = input.find("picture");
  if (picture != nullptr && !picture->is_null()) {
    contract.picture = static_cast<int>(whole_of(input, "picture", longest_side, source));
    if (contract.crop != Crop::pixels || contract.crop_side > contract.picture) throw Error(shown(source) + ": the crop does not go with 'picture'");
  }
  static const std::string filters[] = {"nearest", "bilinear", "bicubic", "lanczos"};
  const std::string& resize = text_of(input, "resize", source);
  const auto found = std::find(std::begin(filters), std::end(filters), resize);
  if (found == std::end(filters)) throw Error(shown(source) + ": unknown resize '" + shown(resize) + "'");
  contract.resize = static_cast<Filter>(found - std::begin(filters));
  const Json* white = input.find("white");
  if (white != nullptr && !white->is_null()) contract.white = static_cast<int>(whole_of(*white, "white", 256, 65'535, source));
  return contract;
}

std::vector<std::string> labels_of(const Json& raw, const std::string& source) {
  std::vector<std::string> labels;
  std::set<std::string> seen;
  for (const Json& item : member(raw, "labels", Json::Kind::list, source).items) {
    if (item.kind != Json::Kind::text) throw Error(shown(source) + ": a label is no text");
    require_label(item.text, source);
    if (!seen.insert(item.text).second) throw Error(shown(source) + ": the label '" + shown(item.text) + "' stands there twice");
    labels.push_back(item.text);
  }
  if (labels.empty() || labels.size() > static_cast<std::size_t>(most_labels)) throw Error(shown(source) + ": no labels, or too many");
  return labels;
}

/// The limits of the form or, where float32 itself is further off on this network, those that its export allowed.
Limits limits_of(const Json& raw, const std::string& quantization, const std::string& source) {
  const auto form = std::find_if(std::begin(forms), std::end(forms), [&](const Form& each) { return quantization == each.name; });
  if (form == std::end(forms)) throw Error(shown(source) + ": unknown quantization '" + shown(quantization) + "'");
  double widest = form->max_abs_diff;
  const Json* steps = raw.find("links");
  for (const Json& step : steps == nullptr ? std::vector<Json>() : steps->items) {
    const Json* allowed = step.find("allowed_abs_diff");
    if (allowed != nullptr && allowed->kind == Json::Kind::number) widest = std::max(widest, allowed->number);
  }
  return {widest, form->mean_abs_diff * widest / form->max_abs_diff, form->top1_agreement};
}

std::optional<Acceptance> acceptance_of(const Json& raw, const std::string& source) {
  const Json* stated = raw.find("acceptance");
  if (stated == nullptr || stated->is_null()) return std::nullopt;
  Acceptance rule;
  rule.temperature = number_of(*stated, "temperature", source);
  rule.min_confidence = number_of(*stated, "min_confidence", source);
  rule.max_distance = number_of(*stated, "max_distance", source);
  const bool fits = rule.temperature >= 0.05 && rule.temperature <= 20 && rule.min_confidence >= 0 &&
                    rule.min_confidence <= 1 && rule.max_distance >= 0 && rule.max_distance <= 1e30;
  if (!fits) throw Error(shown(source) + ": an acceptance rule that is none");
  return rule;
}

class Bundle {
 public:
  explicit Bundle(const std::string& folder) : folder_(folder) {
    const std::string source = path("manifest.json");
    if (!exists(source)) {
      throw Error(shown(folder) + (exists(folder) ? ": not a bundle: it holds no manifest.json" : ": no such folder"));
    }
    const Bytes content = read_bounded(source, most_json, Links::refused);
    raw_ = JsonReader(content, source).read();
    const std::int64_t schema = whole_of(raw_, "schema", 1'000'000, source);
    if (schema > newest_schema) {
      throw Error(shown(folder) + ": schema " + std::to_string(schema) + ", this app reads up to " +
                  std::to_string(newest_schema) + "; write it again with a later bctk app cpp");
    }
    const Bytes seal = read_bounded(path("manifest.json.sha256"), most_seal, Links::refused);
    const std::string digest(seal.begin(), std::find_if(seal.begin(), seal.end(), [](std::uint8_t c) { return c <= ' '; }));
    if (sha256(content) != digest) {
      throw Error(shown(source) + ": SHA-256 differs from the one in manifest.json.sha256; copy the bundle again");
    }
    interpret(schema, source);
    for (const char* name : {"reference", "calibration", "bom"}) file(name, raw_);
  }

  const Manifest& manifest() const { return manifest_; }

  Bytes model() const { return file("model", raw_); }

  Golden golden() const {
    const Contract& contract = manifest_.contract;
    const std::size_t size = std::size_t(contract.height) * std::size_t(contract.width) * std::size_t(contract.channels);
    const std::uint64_t count = manifest_.golden_count, classes = manifest_.labels.size();
    std::vector<ArraySpec> specs = {
        {"images", "|u1", {count, std::uint64_t(contract.height), std::uint64_t(contract.width), std::uint64_t(contract.channels)}},
        {"probabilities", "<f4", {count, classes}},
        {"labels", "<i8", {count}}};
    if (manifest_.states_identity) specs.push_back({"identity", "|u1", {0}});
    const std::string source = path("golden.npz");
    const std::vector<Array> arrays = read_npz(file("golden", raw_), specs, source);
    const std::vector<float> flat = floats_of(arrays[1], "<f4");
    if (!std::all_of(flat.begin(), flat.end(), is_probability)) throw Error(shown(source) + ": 'probabilities' holds numbers that are none");
    if (manifest_.states_identity) require_identity(JsonReader(arrays[3].values, source).read(), source);
    Golden golden;
    for (std::size_t i = 0; i < count; ++i) {
      const auto pixels = arrays[0].values.begin() + static_cast<std::ptrdiff_t>(i * size);
      golden.pictures.push_back({contract.height, contract.width, contract.channels, Bytes(pixels, pixels + static_cast<std::ptrdiff_t>(size))});
      const auto row = flat.begin() + static_cast<std::ptrdiff_t>(i * classes);
      golden.probabilities.emplace_back(row, row + static_cast<std::ptrdiff_t>(classes));
    }
    return golden;
  }

  /// Features of the pictures that the acceptance rule was fitted to, one after the other.
  std::vector<float> validation_features(std::size_t features) const {
    const std::uint64_t count = manifest_.validation_count;
    const std::string source = path("validation.npz");
    const std::vector<Array> arrays =
        read_npz(file("validation", raw_), {{"features", "<f2", {count, features}}, {"confidence", "<f4", {count}}}, source);
    std::vector<float> values = floats_of(arrays[0], "<f2");
    if (!all_finite(values) || !all_finite(floats_of(arrays[1], "<f4"))) throw Error(shown(source) + ": holds numbers that are not finite");
    return values;
  }

  /// Compares what a file says it was made for with the manifest.
  void require_identity(const Json& stated, const std::string& source) const {
    for (std::size_t i = 0; i < stated.names.size(); ++i) {
      const Json* wanted = manifest_.identity.find(stated.names[i]);
      const bool contradicts = wanted != nullptr && !stated.items[i].is_null() && !same(stated.items[i], *wanted);
      if (contradicts) {
        throw Error(shown(source) + ": was made for other " + shown(stated.names[i]) + " than manifest.json says; use a bundle whose files belong together");
      }
    }
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  void interpret(std::int64_t schema, const std::string& source) {
    manifest_.name = text_of(raw_, "name", source);
    require_label(manifest_.name, source);
    manifest_.format = text_of(raw_, "format", source);
    if (manifest_.format != "onnx" && manifest_.format != "tflite") {
      throw Error(shown(folder_) + ": unknown format '" + shown(manifest_.format) + "'; formats: onnx, tflite");
    }
    manifest_.quantization = text_of(raw_, "quantization", source);
    manifest_.limits = limits_of(raw_, manifest_.quantization, source);
    const Json& input = member(raw_, "input", Json::Kind::object, source);
    manifest_.contract = contract_of(input, source);
    manifest_.labels = labels_of(raw_, source);
    manifest_.acceptance = acceptance_of(raw_, source);
    manifest_.golden_count = count_of("golden", source);
    const Json* validation = raw_.find("validation");
    if ((validation != nullptr && !validation->is_null()) != manifest_.acceptance.has_value()) {
      throw Error(shown(source) + ": the acceptance rule, or the file it goes with, is missing");
    }
    manifest_.validation_count = manifest_.acceptance ? count_of("validation", source) : 0;
    if (manifest_.acceptance && manifest_.validation_count <= nearest) throw Error(shown(source) + ": too few validation images");
    manifest_.model_sha256 = text_of(member(raw_, "model", Json::Kind::object, source), "sha256", source);
    manifest_.states_identity = schema > 1;
    manifest_.identity.kind = Json::Kind::object;
    manifest_.identity.names = {"labels", "input", "source_sha256"};
    const Json& network = member(raw_, "source", Json::Kind::object, source);
    manifest_.identity.items = {*raw_.find("labels"), input, member(network, "model_sha256", Json::Kind::text, source)};
  }

  std::size_t count_of(const char* entry, const std::string& source) const {
    const Json& stated = member(raw_, entry, Json::Kind::object, source);
    return static_cast<std::size_t>(whole_of(stated, "count", most_images, source));
  }

  /// What `bctk` calls a file.
  std::string name_of(const std::string& entry) const {
    if (entry == "model") return "model." + manifest_.format;
    return entry + (entry == "bom" ? ".cdx.json" : ".npz");
  }

  /// The content of a file that is as the manifest says; nothing where there is no such entry.
  Bytes file(const std::string& entry, const Json& raw) const {
    const Json* stated = raw.find(entry);
    if (stated == nullptr || stated->is_null()) return {};
    const std::string name = name_of(entry), source = path("manifest.json");
    if (text_of(*stated, "file", source) != name) throw Error(shown(source) + ": '" + entry + "' names another file than " + name);
    const std::uint64_t most = entry == "model" ? static_cast<std::uint64_t>(whole_of(*stated, "bytes", most_model, source)) : most_file;
    Bytes content = read_bounded(path(name), most, Links::refused);
    if (sha256(content) != text_of(*stated, "sha256", source)) {
      throw Error(shown(path(name)) + ": SHA-256 differs from the manifest's; copy the bundle again");
    }
    return content;
  }

  std::string folder_;
  Json raw_;
  Manifest manifest_;
};

}  // namespace
}  // namespace bctoolkit
