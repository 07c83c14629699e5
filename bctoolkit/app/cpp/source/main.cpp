// A command that classifies pictures with a bundle.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <numeric>

#include "bctoolkit.h"

namespace {

const char* const usage =
    "usage: classify BUNDLE IMAGE... [--json] [--threads N]   label, probabilities and milliseconds of each picture\n"
    "       classify BUNDLE --self-test [--threads N]         ask all golden images\n"
    "       classify BUNDLE --vectors DIR [--threads N]       compare with what `bctk vectors` wrote\n"
    "Exit codes: 0 done, 1 an error of one line, 2 wrong usage, 3 what --self-test or --vectors found is not as it should be.\n";

enum ExitCode { done = 0, failed = 1, wrong_usage = 2, not_as_it_should_be = 3 };

struct Arguments {
  std::string bundle, vectors;
  std::vector<std::string> images;
  bool as_json = false, self_test = false, help = false;
  int threads = 0;
};

/// Whether the words make sense.
bool parse(const std::vector<std::string>& words, Arguments& arguments) {
  bool only_names = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const bool has_next = i + 1 < words.size();
    if (only_names || word.size() < 2 || word[0] != '-') {
      (arguments.bundle.empty() ? arguments.bundle : arguments.images.emplace_back()) = word;
    } else if (word == "--") {
      only_names = true;
    } else if (word == "--json") {
      arguments.as_json = true;
    } else if (word == "--self-test") {
      arguments.self_test = true;
    } else if (word == "--vectors" && has_next) {
      arguments.vectors = words[++i];
    } else if (word == "--threads" && has_next) {
      char* end = nullptr;
      const long count = std::strtol(words[++i].c_str(), &end, 10);
      if (*end != '\0' || count < 1 || count > 256) return false;
      arguments.threads = static_cast<int>(count);
    } else if (word == "--help" || word == "-h") {
      arguments.help = true;
    } else {
      return false;
    }
  }
  const int actions = (arguments.images.empty() ? 0 : 1) + (arguments.self_test ? 1 : 0) + (arguments.vectors.empty() ? 0 : 1);
  return arguments.help || (!arguments.bundle.empty() && actions == 1 && (!arguments.as_json || !arguments.images.empty()));
}

/// Text as JSON has it.
std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char letter : text) {
    char escaped[8];
    const auto byte = static_cast<unsigned char>(letter);
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(byte));
    if (letter == '"' || letter == '\\') json += '\\', json += letter;
    else if (byte < 0x20 || byte == 0x7F) json += escaped;
    else json += letter;
  }
  return json + '"';
}

/// Text in one line, which steers no terminal.
std::string plain(std::string text) {
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) letter = '?';
  }
  return text;
}

void print_json(const std::string& image, const bctoolkit::Prediction& prediction, const std::vector<std::string>& labels) {
  const char* accepted = !prediction.accepted ? "null" : *prediction.accepted ? "true" : "false";
  std::printf("{\"image\": %s, \"label\": %s, \"accepted\": %s, \"probabilities\": {", quoted(image).c_str(), quoted(prediction.label).c_str(), accepted);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::printf("%s%s: %.9g", i == 0 ? "" : ", ", quoted(labels[i]).c_str(), static_cast<double>(prediction.probabilities[i]));
  }
  std::printf("}, \"preparing_ms\": %.3f, \"model_ms\": %.3f}\n", prediction.preparing_ms, prediction.model_ms);
}

void print_line(const std::string& image, const bctoolkit::Prediction& prediction, const std::vector<std::string>& labels) {
  std::vector<std::size_t> order(labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::vector<float>& values = prediction.probabilities;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  const bool is_refused = prediction.accepted.has_value() && !*prediction.accepted;
  std::printf("%s: %s%s", plain(image).c_str(), is_refused ? "NOT ACCEPTED, would be " : "", prediction.label.c_str());
  for (const std::size_t i : order) std::printf("  %s %.4f", labels[i].c_str(), static_cast<double>(values[i]));
  std::printf("  (%.1f ms, preparing %.1f)\n", prediction.preparing_ms + prediction.model_ms, prediction.preparing_ms);
}

ExitCode classify(const bctoolkit::Classifier& classifier, const Arguments& arguments) {
  for (const std::string& image : arguments.images) {
    const bctoolkit::Prediction prediction = classifier.classify(image);
    (arguments.as_json ? print_json : print_line)(image, prediction, classifier.labels());
  }
  return done;
}

ExitCode self_test(const bctoolkit::Classifier& classifier) {
  const bctoolkit::Parity parity = classifier.verify();
  std::printf("%s on %s: parity on %zu golden images: top-1 agreement %.2f%%, max |Δp| %.1e, mean |Δp| %.1e\n",
              classifier.name().c_str(), classifier.engine().c_str(), parity.count, 100 * parity.top1_agreement, parity.max_abs_diff, parity.mean_abs_diff);
  if (parity.violations.empty()) return done;
  std::fprintf(stderr, "FAILED: %s\n", parity.violations.c_str());
  return not_as_it_should_be;
}

ExitCode vectors(const bctoolkit::Classifier& classifier, const std::string& folder) {
  const bctoolkit::Conformance found = classifier.check_vectors(folder);
  std::printf("%zu cases: %zu prepared to the same values, %zu refused as they are to be; ", found.cases, found.prepared, found.refused);
  if (found.answers == 0) std::printf("no answers of this model among them\n");
  else std::printf("%zu answers: labels equal in %zu, max |Δp| %.1e\n", found.answers, found.labels, found.max_abs_diff);
  for (const std::string& difference : found.differences) std::fprintf(stderr, "FAILED: %s\n", difference.c_str());
  return found.differences.empty() ? done : not_as_it_should_be;
}

/// Hides what an engine prints while it opens a model; bctoolkit itself prints nothing.
class WithoutChatter {
 public:
  WithoutChatter() : kept_(dup(STDERR_FILENO)) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept_ >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    if (nowhere >= 0) close(nowhere);
  }
  ~WithoutChatter() {
    if (kept_ < 0) return;
    dup2(kept_, STDERR_FILENO);
    close(kept_);
  }
  WithoutChatter(const WithoutChatter&) = delete;
  WithoutChatter& operator=(const WithoutChatter&) = delete;

 private:
  int kept_;
};

bctoolkit::Classifier opened(const Arguments& arguments) {
  const WithoutChatter hidden;
  bctoolkit::Options options;
  options.threads = arguments.threads;
  options.self_test = !arguments.self_test;  // which asks all golden images itself
  return bctoolkit::Classifier(arguments.bundle, options);
}

ExitCode run(const Arguments& arguments) {
  const bctoolkit::Classifier classifier = opened(arguments);
  if (arguments.self_test) return self_test(classifier);
  return arguments.vectors.empty() ? classify(classifier, arguments) : vectors(classifier, arguments.vectors);
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse({words + 1, words + count}, arguments)) {
    std::fputs(usage, stderr);
    return wrong_usage;
  }
  if (arguments.help) return std::fputs(usage, stdout) < 0 ? failed : done;
  std::string reason;
  try {
    const ExitCode code = run(arguments);
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    reason = "the answers cannot be written";
  } catch (const bctoolkit::Error& problem) {
    reason = problem.what();
  } catch (const std::bad_alloc&) {
    reason = "out of memory";
  } catch (const std::exception& problem) {
    reason = std::string("unexpected: ") + problem.what();
  }
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", plain(reason).c_str());
  return failed;
}
