// beam show: everything in an image, readable.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>

#include "migrate/json_value.h"
#include "migrate/layer.h"
#include "migrate/object_kind.h"
#include "runtime/description.h"
#include "runtime/file_io.h"
#include "runtime/image_argument.h"
#include "runtime/json.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

using migrate::to_json_value;
using Layer = std::optional<migrate::LayerState>;  // of a sandbox with a mount view

constexpr std::size_t kLineBytes = 16;

std::string hexadecimal(std::uint64_t value, int digits) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%0*" PRIx64, digits, value);
  return text.data();
}

Result<std::string> read_run(int fd, const migrate::PageRun& run, std::uint64_t from, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(run.offset + from + done));
    if (got <= 0) {
      return Error(got < 0 ? errno : migrate::kDamaged, "read memory from the image");
    }
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

// Calls visit(run, offset in it, bytes) for all contents, a part at a time.
template <typename Visit>
Result<> for_contents(const migrate::Image& image, const std::string& file, const std::vector<migrate::PageRun>& runs,
                      Visit&& visit) {
  constexpr std::uint64_t kPart = 1U << 20;
  if (runs.empty()) {
    return success();
  }
  BEAM_TRY_ASSIGN(const UniqueFd fd, image.file(file));
  for (const auto& run : runs) {
    for (std::uint64_t done = 0; done < run.size;) {
      const auto size = static_cast<std::size_t>(std::min(run.size - done, kPart));
      BEAM_TRY_ASSIGN(const std::string bytes, read_run(fd.get(), run, done, size));
      BEAM_TRY(visit(run, done, bytes));
      done += size;
    }
  }
  return success();
}

Json format_of(const migrate::Image& image) {
  const migrate::Manifest& manifest = image.manifest();
  return Json{{"version", migrate::kImageFormat},         {"beam_version", to_json_value(manifest.beam_version)},
              {"kernel", to_json_value(manifest.kernel)}, {"workstation", to_json_value(manifest.workstation)},
              {"created_ms", manifest.created_ms},        {"cpu_features", to_json_value(manifest.cpu_features)}};
}

Json sandbox_of(const SandboxDescription& description, const migrate::SandboxState& state, const Layer& layer) {
  Json json = to_json_value(description);
  json["clocks"] = to_json_value(state.clocks);
  json["last_vpid"] = state.last_vpid;
  if (layer) {
    json["layer"] = to_json_value(*layer);
  }
  return json;
}

Result<Json> objects_of(const migrate::SandboxState& state) {
  Json list = Json::array();
  for (const auto& object : state.objects) {
    Json shown;
    BEAM_TRY(migrate::find_kind(object.kind)->show(object.state, migrate::JsonTarget(shown)));
    list.push_back({{"id", object.id}, {"kind", object.kind}, {"state", std::move(shown)}});
  }
  return list;
}

Result<> add_contents(const migrate::Image& image, const std::string& file, const std::vector<migrate::PageRun>& runs,
                      Json& pages) {
  std::size_t index = 0;
  return for_contents(image, file, runs,
                      [&](const auto& run, std::uint64_t from, const std::string& bytes) -> Result<> {
                        std::string text = migrate::hexadecimal(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
                        if (from == 0) {
                          pages[index]["contents"] = std::move(text);
                        } else {
                          pages[index]["contents"].get_ref<std::string&>() += text;
                        }
                        index += from + bytes.size() == run.size ? 1 : 0;
                        return success();
                      });
}

Result<std::string> as_json(const migrate::Image& image, const migrate::SandboxState& state,
                            const SandboxDescription& description, const Layer& layer, bool with_pages) {
  Json memory{{"address_spaces", to_json_value(state.address_spaces)},
              {"shared_memory", to_json_value(state.shared_memory)},
              {"mapped_files", to_json_value(state.mapped_files)}};
  if (with_pages) {
    for (std::size_t i = 0; i < state.address_spaces.size(); ++i) {
      const auto& space = state.address_spaces[i];
      BEAM_TRY(add_contents(image, space.page_file, space.pages, memory["address_spaces"][i]["pages"]));
    }
    for (std::size_t i = 0; i < state.shared_memory.size(); ++i) {
      const auto& shared = state.shared_memory[i];
      BEAM_TRY(add_contents(image, shared.page_file, shared.pages, memory["shared_memory"][i]["pages"]));
    }
  }
  BEAM_TRY_ASSIGN(Json objects, objects_of(state));
  return dump(Json{{"format", format_of(image)},
                   {"sandbox", sandbox_of(description, state, layer)},
                   {"processes", to_json_value(state.processes)},
                   {"objects", std::move(objects)},
                   {"memory", std::move(memory)},
                   {"files", to_json_value(image.manifest().files)}},
              2);
}

// --- as text ---

bool is_plain(const Json& json) {
  if (!json.is_structured()) {
    return true;
  }
  for (const auto& item : json) {
    if (item.is_structured()) {
      return false;
    }
  }
  return json.is_array();
}

std::string plain(const Json& json) {
  if (json.is_string()) {
    return json.get<std::string>();
  }
  if (!json.is_array()) {
    return dump(json);
  }
  std::string text;
  for (const auto& item : json) {
    text += (text.empty() ? "" : " ") + plain(item);
  }
  return text;
}

// "name: value" a line, what is inside indented. Fields that say nothing (empty, null) are left out.
void print(std::string& text, const std::string& indent, const Json& json) {
  for (const auto& [name, value] : json.items()) {
    if (value.is_null() || value == "" || (value.is_structured() && value.empty())) {
      continue;
    }
    const std::string label = json.is_array() ? "-" : name + ":";
    if (is_plain(value)) {
      text += indent + label + " " + plain(value) + "\n";
    } else if (json.is_array()) {
      // "- " and the first field on one line.
      const std::size_t at = text.size();
      print(text, indent + "  ", value);
      if (text.size() > at + indent.size()) {
        text[at + indent.size()] = '-';
      }
    } else {
      text += indent + label + "\n";
      print(text, indent + "  ", value);
    }
  }
}

void print_section(std::string& text, const char* title, const Json& json) {
  text += std::string(title) + "\n";
  print(text, "  ", json);
}

std::string map_line(const migrate::SandboxState& state, const migrate::Mapping& mapping) {
  std::string line = hexadecimal(mapping.start, 12) + "-" + hexadecimal(mapping.end, 12) + " ";
  line += (mapping.protection & PROT_READ) != 0 ? 'r' : '-';
  line += (mapping.protection & PROT_WRITE) != 0 ? 'w' : '-';
  line += (mapping.protection & PROT_EXEC) != 0 ? 'x' : '-';
  line += mapping.shared ? "s " : "p ";
  switch (mapping.backing) {
    case migrate::Backing::kAnonymous:
      line += "anonymous";
      break;
    case migrate::Backing::kFile:
      line += state.mapped_files[mapping.file].path + " at " + hexadecimal(mapping.offset, 1);
      break;
    case migrate::Backing::kSharedMemory:
      line += "shared memory " + std::to_string(mapping.file) + " at " + hexadecimal(mapping.offset, 1);
      break;
    case migrate::Backing::kSysv:
      line += "System V shared memory " + std::to_string(state.sysv.memory[mapping.file].identity.id) + " at " +
              hexadecimal(mapping.offset, 1);
      break;
  }
  line += mapping.name.empty() ? "" : " (" + mapping.name + ")";
  line += mapping.grows_down ? " stack" : "";
  line += mapping.locked ? " locked" : "";
  line += mapping.sealed ? " sealed" : "";
  return line;
}

std::uint64_t total(const std::vector<migrate::PageRun>& runs) {
  std::uint64_t bytes = 0;
  for (const auto& run : runs) {
    bytes += run.size;
  }
  return bytes;
}

void print_memory(std::string& text, const migrate::SandboxState& state) {
  text += "memory\n";
  for (std::size_t i = 0; i < state.address_spaces.size(); ++i) {
    const auto& space = state.address_spaces[i];
    text += "  address space " + std::to_string(i) + ": " + std::to_string(total(space.pages)) + " bytes in " +
            space.page_file + "\n";
    for (const auto& mapping : space.mappings) {
      text += "    " + map_line(state, mapping) + "\n";
    }
    print(text, "    ", Json{{"layout", to_json_value(space.layout)}});
  }
  for (std::size_t i = 0; i < state.shared_memory.size(); ++i) {
    const auto& shared = state.shared_memory[i];
    text += "  shared memory " + std::to_string(i) + (shared.name.empty() ? "" : " (" + shared.name + ")") + ": " +
            std::to_string(shared.size) + " bytes, " + std::to_string(total(shared.pages)) + " of them in " +
            shared.page_file + "\n";
  }
  print(text, "  ", Json{{"mapped_files", to_json_value(state.mapped_files)}});
}

Result<> print_pages(const migrate::Image& image, const std::string& title, const std::string& file,
                     const std::vector<migrate::PageRun>& runs) {
  if (runs.empty()) {
    return success();
  }
  BEAM_TRY(write_all(STDOUT_FILENO, title + "\n"));
  return for_contents(image, file, runs, [](const auto& run, std::uint64_t from, const std::string& bytes) -> Result<> {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += kLineBytes) {
      std::string codes;
      std::string characters;
      for (std::size_t i = at; i < std::min(at + kLineBytes, bytes.size()); ++i) {
        const auto byte = static_cast<unsigned char>(bytes[i]);
        codes += " " + hexadecimal(byte, 2);
        characters += byte >= ' ' && byte < 0x7f ? static_cast<char>(byte) : '.';
      }
      text += "  " + hexadecimal(run.address + from + at, 12) + " " + codes + "  " + characters + "\n";
    }
    return write_all(STDOUT_FILENO, text);
  });
}

Result<> print_text(const migrate::Image& image, const migrate::SandboxState& state,
                    const SandboxDescription& description, const Layer& layer, bool with_pages) {
  std::string text;
  print_section(text, "format", format_of(image));
  print_section(text, "sandbox", sandbox_of(description, state, layer));
  print_section(text, "processes", to_json_value(state.processes));
  BEAM_TRY_ASSIGN(const Json objects, objects_of(state));
  print_section(text, "objects", objects);
  print_memory(text, state);
  print_section(text, "files", to_json_value(image.manifest().files));
  BEAM_TRY(write_all(STDOUT_FILENO, text));
  if (!with_pages) {
    return success();
  }
  for (std::size_t i = 0; i < state.address_spaces.size(); ++i) {
    const auto& space = state.address_spaces[i];
    BEAM_TRY(print_pages(image, "pages of address space " + std::to_string(i), space.page_file, space.pages));
  }
  for (std::size_t i = 0; i < state.shared_memory.size(); ++i) {
    const auto& shared = state.shared_memory[i];
    BEAM_TRY(print_pages(image, "pages of shared memory " + std::to_string(i), shared.page_file, shared.pages));
  }
  return success();
}

}  // namespace

int verb_show(const std::vector<std::string>& arguments) {
  VerbLine line("show", "Shows everything that is in an image.", "[OPTIONS] IMAGE", kExitUsage);
  bool json = false;
  bool pages = false;
  std::string name;
  line.app().add_flag("--json", json, "One JSON document");
  line.app().add_flag("--pages", pages, "Also the contents of memory");
  line.app().add_option("IMAGE", name, "The image")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto image = migrate::Image::open(name);
  if (!image.ok()) {
    return fail_image(name, image.error());
  }
  const auto state = image->load();
  if (!state.ok()) {
    return fail_image(name, state.error(), kExitDamaged);
  }
  const auto description = describe(*image);
  if (!description.ok()) {
    return fail_image(name, description.error(), kExitDamaged);
  }
  const auto layer = migrate::read_layer(*image);
  if (!layer.ok()) {
    return fail_image(name, layer.error(), kExitDamaged);
  }
  if (!json) {
    const auto printed = print_text(*image, *state, *description, *layer, pages);
    return printed.ok() ? kExitDone : fail_image(name, printed.error(), kExitFailed);
  }
  const auto text = as_json(*image, *state, *description, *layer, pages);
  return text.ok() ? print_document(*text) : fail_image(name, text.error(), kExitDamaged);
}

}  // namespace beam::runtime
