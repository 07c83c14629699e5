// Conformance vectors (`bctk vectors`): is what is made of each picture, and answered to it, what Python makes of it?

namespace bctoolkit {
namespace {

constexpr std::size_t most_cases = 10'000;

/// What a folder of vectors holds for one contract.
class Vectors {
 public:
  Vectors(const std::string& folder, const Manifest& manifest) : folder_(folder), source_(folder + "/vectors.json") {
    raw_ = JsonReader(read_bounded(source_, most_json), source_).read();
    whole_of(raw_, "schema", 1, source_);
    const Json& input = member(raw_, "input", Json::Kind::object, source_);
    if (!same(input, manifest.identity.items[1])) throw Error(shown(source_) + ": is for another contract than the bundle's");
    read_arrays(manifest.contract);
    for (const Json& bundle : member(raw_, "bundles", Json::Kind::object, source_).items) {
      if (text_of(bundle, "model_sha256", source_) == manifest.model_sha256) bundle_ = &bundle;
    }
    for (const char* name : {"answers", "accepted"}) {
      if (bundle_ != nullptr && member(*bundle_, name, Json::Kind::list, source_).items.size() != cases().size()) {
        throw Error(shown(source_) + ": '" + name + "' has not one entry for each case");
      }
    }
  }

  const std::vector<Json>& cases() const { return member(raw_, "cases", Json::Kind::list, source_).items; }

  /// A picture's path; its name is one of a file beside the others.
  std::string path_of(const Json& each) const {
    const std::string& name = text_of(each, "file", source_);
    const std::size_t slash = name.find('/');
    const bool is_plain = name.compare(0, slash, "images") == 0 && name.find('/', slash + 1) == std::string::npos && name.size() > slash + 1 && name[slash + 1] != '.';
    if (slash == std::string::npos || !is_plain) throw Error(shown(source_) + ": '" + shown(name) + "' is no file in images/");
    return folder_ + "/" + name;
  }

  bool is_refused(const Json& each) const {
    const Json* reason = each.find("refused");
    return reason != nullptr && !reason->is_null();
  }

  bool is_right(const Json& each, const Picture& prepared) const {
    const Json& index = member(each, "array", Json::Kind::number, source_);
    const auto i = static_cast<std::size_t>(whole_of(index, "array", 0, static_cast<std::int64_t>(count_) - 1, source_));
    return std::equal(prepared.pixels.begin(), prepared.pixels.end(), images_.values.begin() + static_cast<std::ptrdiff_t>(i * prepared.pixels.size()));
  }

  /// The answer of the same model to a case; nothing where there is none.
  const Json* answer(std::size_t i) const {
    const Json* found = bundle_ == nullptr ? nullptr : &bundle_->find("answers")->items[i];
    return found == nullptr || found->is_null() ? nullptr : found;
  }

  const Json& accepted(std::size_t i) const { return bundle_->find("accepted")->items[i]; }
  double tolerance() const { return number_of(*bundle_, "tolerance", source_); }
  const std::string& source() const { return source_; }

 private:
  void read_arrays(const Contract& contract) {
    if (cases().size() > most_cases) throw Error(shown(source_) + ": too many cases");
    for (const Json& each : cases()) count_ += !is_refused(each);
    const std::string file = folder_ + "/inputs.npz";
    const ArraySpec spec{"images", "|u1", {count_, std::uint64_t(contract.height), std::uint64_t(contract.width), std::uint64_t(contract.channels)}};
    images_ = read_npz(read_bounded(file, most_file), {spec}, file)[0];
  }

  std::string folder_, source_;
  Json raw_;
  const Json* bundle_ = nullptr;
  Array images_;
  std::size_t count_ = 0;
};

void compare_answer(const Vectors& vectors, std::size_t i, const Prediction& found, const std::vector<float>& raw, Conformance& result, std::string& difference) {
  const Json* wanted = vectors.answer(i);
  if (wanted == nullptr) return;
  ++result.answers;
  if (wanted->items.size() != raw.size()) throw Error(shown(vectors.source()) + ": an answer has not one value for each label");
  double apart = 0;
  std::vector<float> values;
  for (std::size_t c = 0; c < raw.size(); ++c) {
    values.push_back(static_cast<float>(wanted->items[c].number));
    apart = std::max(apart, std::abs(wanted->items[c].number - double{raw[c]}));
  }
  result.labels += likeliest(values) == found.index;
  result.max_abs_diff = std::max(result.max_abs_diff, apart);
  if (apart > vectors.tolerance()) difference += "; the answer differs by " + in_digits("%.2e", apart);
  const Json& accepted = vectors.accepted(i);
  if (!accepted.is_null() && found.accepted && (accepted.number != 0) != *found.accepted) difference += "; whether it is accepted differs";
}

}  // namespace

Conformance Classifier::check_vectors(const std::string& folder) const {
  const Vectors vectors(folder, opened_->bundle.manifest());
  Conformance result;
  for (const Json& each : vectors.cases()) {
    const std::size_t i = result.cases++;
    const std::string path = vectors.path_of(each);
    const Bytes content = read_bounded(path, most_image_bytes);
    if (sha256(content) != text_of(each, "sha256", vectors.source())) throw Error(shown(path) + ": SHA-256 differs from vectors.json; copy the vectors again");
    std::string difference;
    try {
      const Picture prepared = prepare_file(content, contract(), shown(path));
      if (vectors.is_refused(each)) difference = "; is taken, and is to be refused";
      else if (!vectors.is_right(each, prepared)) difference = "; is prepared otherwise";
      else ++result.prepared;
      if (difference.empty()) compare_answer(vectors, i, opened_->judge(prepared, 0), opened_->answer(prepared), result, difference);
    } catch (const Error& problem) {
      if (vectors.is_refused(each)) ++result.refused;
      else difference = "; is refused: " + std::string(problem.what());
    }
    if (!difference.empty()) result.differences.push_back(shown(path) + difference);
  }
  return result;
}

}  // namespace bctoolkit
