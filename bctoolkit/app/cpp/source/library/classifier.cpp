// `Classifier`: every check once, above the engines.

#include <chrono>
#include <mutex>

namespace bctoolkit {
namespace {

constexpr int most_threads = 256;

std::unique_ptr<Engine> open_engine(const std::string& format, Bytes model, const Ports& ports, int threads) {
  (void)model, (void)ports, (void)threads;
#ifdef BCTOOLKIT_ONNXRUNTIME
  if (format == "onnx") return std::make_unique<OnnxRuntime>(model, ports, threads);
#endif
#ifdef BCTOOLKIT_LITERT
  if (format == "tflite") return std::make_unique<LiteRt>(std::move(model), ports, threads);
#endif
  const std::string option = format == "onnx" ? "BCTOOLKIT_ONNXRUNTIME" : "BCTOOLKIT_LITERT";
  throw Error("the bundle is " + format + ", whose engine this app was built without; configure it with -D" + option + "=ON");
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

class Classifier::Opened {
 public:
  Opened(const std::string& folder, const Options& options) : bundle(folder) {
    const Manifest& manifest = bundle.manifest();
    const int threads = options.threads == 0 ? default_threads() : options.threads;
    if (threads < 1 || threads > most_threads) throw Error("got " + std::to_string(threads) + " threads; wanted 1 to " + std::to_string(most_threads));
    golden = bundle.golden();
    const std::size_t features = feature_count(manifest.contract.channels);
    if (manifest.acceptance) {
      rule = std::make_unique<AcceptanceRule>(*manifest.acceptance, bundle.validation_features(features), manifest.contract.channels);
    }
    engine = open_engine(manifest.format, bundle.model(), ports_of(manifest.contract, manifest.labels.size()), threads);
    require_identity();
    name = engine->name() + ", threads: " + std::to_string(threads);
    if (options.self_test) self_test();
    golden = {};  // read again where all are asked
  }

  /// The model's probabilities, if that is what they are.
  std::vector<float> answer(const Picture& prepared) const {
    const Contract& contract = bundle.manifest().contract;
    if (prepared.height != contract.height || prepared.width != contract.width || prepared.channels != contract.channels ||
        prepared.pixels.size() != std::size_t(contract.height) * std::size_t(contract.width) * std::size_t(contract.channels)) {
      throw Error("got an image that is not what the model takes; prepare it first");
    }
    const std::vector<float> floats = contract.is_float ? std::vector<float>(prepared.pixels.begin(), prepared.pixels.end()) : std::vector<float>();
    const void* values = contract.is_float ? static_cast<const void*>(floats.data()) : prepared.pixels.data();
    const std::lock_guard<std::mutex> turn(busy);
    std::vector<float> probabilities = engine->run(values);
    if (!std::all_of(probabilities.begin(), probabilities.end(), is_probability)) throw Error("the engine returned values that are no probabilities");
    return probabilities;
  }

  Prediction judge(const Picture& prepared, double preparing_ms) const {
    const auto start = std::chrono::steady_clock::now();
    Prediction prediction;
    prediction.preparing_ms = preparing_ms;
    prediction.probabilities = answer(prepared);
    prediction.index = likeliest(prediction.probabilities);
    prediction.label = bundle.manifest().labels[prediction.index];
    if (rule != nullptr) {
      prediction.probabilities = rule->calibrated(prediction.probabilities);
      prediction.accepted = rule->accepts(prepared, prediction.probabilities);
    }
    prediction.model_ms = milliseconds_since(start);
    return prediction;
  }

  Parity ask(const std::vector<std::size_t>& images, const Limits& limits, std::size_t disagreeing) const {
    std::vector<std::vector<float>> reference, observed;
    for (const std::size_t i : images) {
      reference.push_back(golden.probabilities[i]);
      observed.push_back(answer(golden.pictures[i]));
    }
    return parity_of(reference, observed, limits, disagreeing);
  }

  /// How many of all golden images may have another likeliest class.
  std::size_t disagreeing() const {
    return static_cast<std::size_t>((1 - bundle.manifest().limits.top1_agreement) * static_cast<double>(bundle.manifest().golden_count));
  }

  Bundle bundle;
  Golden golden;
  std::unique_ptr<AcceptanceRule> rule;
  std::unique_ptr<Engine> engine;
  std::string name;

 private:
  /// What the model file says of itself has to be what the manifest says.
  void require_identity() const {
    Json stated;
    stated.kind = Json::Kind::object;
    const std::string source = bundle.path("model." + bundle.manifest().format);
    for (const char* key : {"labels", "input", "source_sha256"}) {
      const std::string text = engine->property(key);
      if (text.empty()) continue;
      Json value;
      value.kind = Json::Kind::text;
      value.text = text;
      if (std::strcmp(key, "source_sha256") != 0) value = JsonReader(Bytes(text.begin(), text.end()), source).read();
      stated.names.push_back(key);
      stated.items.push_back(value);
    }
    bundle.require_identity(stated, source);
  }

  /// Nothing is refused here that keeps the limits on all golden images.
  void self_test() const {
    Limits limits = bundle.manifest().limits;
    limits.mean_abs_diff = HUGE_VAL;
    const std::vector<std::size_t> images = chosen(golden.probabilities);
    const Parity parity = ask(images, limits, disagreeing());
    if (parity.violations.empty()) return;
    throw Error(shown(bundle.manifest().name) + ": not served, for its self-test on " + std::to_string(images.size()) + " golden images failed: " +
                parity.violations + "; the engine does not compute here what was sealed: try another version of it");
  }

  mutable std::mutex busy;
};

Classifier::Classifier(const std::string& bundle, const Options& options) : opened_(std::make_unique<Opened>(bundle, options)) {}
Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

Prediction Classifier::classify(const std::string& file) const {
  const auto start = std::chrono::steady_clock::now();
  const Picture prepared = prepare(file);
  return opened_->judge(prepared, milliseconds_since(start));
}

Prediction Classifier::classify(const Picture& picture) const {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t values = std::size_t(std::max(picture.height, 0)) * std::size_t(std::max(picture.width, 0)) * std::size_t(std::max(picture.channels, 0));
  if ((picture.channels != 1 && picture.channels != 3) || values == 0 || picture.pixels.size() != values) {
    throw Error("got a picture whose size is not height × width × channels, with 1 or 3 channels");
  }
  require_size(std::uint64_t(picture.width), std::uint64_t(picture.height), 1, "the picture");
  const Picture prepared = prepare_pixels(picture, contract(), "the picture");
  return opened_->judge(prepared, milliseconds_since(start));
}

Picture Classifier::prepare(const std::string& file) const {
  return prepare_file(read_bounded(file, most_image_bytes), contract(), shown(file));
}

std::vector<float> Classifier::raw_probabilities(const Picture& prepared) const { return opened_->answer(prepared); }

Parity Classifier::verify() const {
  if (opened_->golden.pictures.empty()) opened_->golden = opened_->bundle.golden();
  std::vector<std::size_t> images(opened_->golden.pictures.size());
  std::iota(images.begin(), images.end(), std::size_t{0});
  return opened_->ask(images, opened_->bundle.manifest().limits, opened_->disagreeing());
}

const std::string& Classifier::name() const { return opened_->bundle.manifest().name; }
const Contract& Classifier::contract() const { return opened_->bundle.manifest().contract; }
const std::vector<std::string>& Classifier::labels() const { return opened_->bundle.manifest().labels; }
const std::string& Classifier::engine() const { return opened_->name; }

}  // namespace bctoolkit
