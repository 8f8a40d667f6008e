#include "cri/ctl_args.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cri/near_miss.h"

namespace podvisor {
namespace {

constexpr CtlCommand kCommands[] = {
    {"check", "", 0, "is this host able to run podvisord?",
     "Looks at programs, files, devices, cgroups and memory that the\n"
     "configuration names. One line each: ok, warn or FAIL with what to do.\n"
     "Exit code 1 when a line says FAIL.\n"},
    {"vms", "", 0, "the VMs with asked, plugged and online sizes",
     "One line per pod. ASKED is what its containers need, PLUGGED what the "
     "VM\n"
     "has, ONLINE what the guest uses. Sizes that differ are being changed.\n"},
    {"run", "POD.yaml", 1, "run a Kubernetes Pod manifest",
     "Pulls the images, runs the pod and starts its containers through the "
     "CRI\n"
     "socket, without Kubernetes. Prints the ids; on an error nothing stays.\n"
     "  --log-dir DIR   container logs, default /var/log/podvisor/<pod>\n"},
    {"console", "POD", 1, "the end of a VM's console",
     "POD is an id, its beginning, or a pod's name.\n"
     "  --lines N       how many lines, default 50\n"},
    {"config", "", 0, "check and print the configuration in force",
     "  --default       print the default file, with comments, instead\n"},
};

absl::Status UnknownWord(absl::string_view kind, absl::string_view word,
                         const std::vector<absl::string_view>& known) {
  const absl::string_view near = NearestName(word, known);
  return absl::InvalidArgumentError(
      absl::StrCat("there is no ", kind, " \"", word, "\"",
                   near.empty() ? absl::StrCat("; see podvisorctl --help")
                                : absl::StrCat("; did you mean ", near, "?")));
}

const CtlCommand* FindCommand(absl::string_view name) {
  for (const CtlCommand& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

// Sets one option. `value` is consumed by those that take one.
absl::Status SetValue(absl::string_view name, const std::string& value,
                      CtlArgs& args) {
  if (name == "--socket") args.socket = value;
  if (name == "--config") args.config = value;
  if (name == "--log-dir") args.log_directory = value;
  if (name == "--lines" && (!absl::SimpleAtoi(value, &args.lines) ||
                            args.lines < 1 || args.lines > 100'000)) {
    return absl::InvalidArgumentError("--lines takes a number up to 100000");
  }
  if (value.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
  }
  return absl::OkStatus();
}

bool TakesValue(absl::string_view name) {
  return name == "--socket" || name == "--config" || name == "--log-dir" ||
         name == "--lines";
}

absl::Status CheckCommand(const CtlArgs& args) {
  if (args.help) return absl::OkStatus();
  if (args.command.empty()) {
    return absl::InvalidArgumentError(
        "a command is needed; see podvisorctl --help");
  }
  const CtlCommand& command = *FindCommand(args.command);
  if (static_cast<int>(args.operands.size()) != command.operand_count) {
    return absl::InvalidArgumentError(
        command.operand_count == 0
            ? absl::StrCat(command.name, " takes no operand")
            : absl::StrCat(command.name,
                           " takes one operand: ", command.operands));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const CtlCommand> CtlCommands() { return kCommands; }

absl::StatusOr<CtlArgs> ParseCtlArgs(absl::Span<const std::string> words) {
  CtlArgs args;
  bool options_ended = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (options_ended || word.size() < 2 || word[0] != '-') {
      if (!args.command.empty()) {
        args.operands.push_back(word);
      } else if (FindCommand(word) != nullptr) {
        args.command = word;
      } else {
        std::vector<absl::string_view> names;
        for (const CtlCommand& command : kCommands) {
          names.push_back(command.name);
        }
        return UnknownWord("command", word, names);
      }
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (word == "--") {
      options_ended = true;
    } else if (word == "--help" || word == "-h") {
      args.help = true;
    } else if (word == "--default") {
      args.print_default = true;
    } else if (TakesValue(name)) {
      std::string value;
      if (equals != std::string::npos) {
        value = word.substr(equals + 1);
      } else if (i + 1 < words.size()) {
        value = words[++i];
      }
      if (absl::Status status = SetValue(name, value, args); !status.ok()) {
        return status;
      }
    } else {
      return UnknownWord("option", name,
                         {"--socket", "--config", "--log-dir", "--lines",
                          "--default", "--help"});
    }
  }
  if (absl::Status status = CheckCommand(args); !status.ok()) return status;
  return args;
}

std::string CtlHelp(absl::string_view name) {
  const std::string options =
      "\nOptions:\n"
      "  --config FILE   default /etc/podvisor/podvisor.toml\n"
      "  --socket PATH   of podvisord; default: as the configuration says\n"
      "  --help          this text; after a command, more about it\n";
  if (const CtlCommand* command = FindCommand(name); command != nullptr) {
    return absl::StrCat("Usage: podvisorctl ", command->name,
                        command->operands.empty() ? "" : " ", command->operands,
                        "\n\n", command->details, options);
  }
  std::string help =
      "podvisorctl looks after a node's pods in VMs.\n\n"
      "Usage: podvisorctl [OPTIONS] COMMAND\n\nCommands:\n";
  for (const CtlCommand& command : kCommands) {
    absl::StrAppendFormat(
        &help, "  %-17s %s\n",
        absl::StrCat(command.name, command.operands.empty() ? "" : " ",
                     command.operands),
        command.summary);
  }
  return absl::StrCat(help, options);
}

}  // namespace podvisor
