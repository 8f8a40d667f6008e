#include "cri/ctl_args.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "cri/container_option.h"
#include "cri/near_miss.h"

namespace podvisor {
namespace {

constexpr CtlCommand kCommands[] = {
    {"check", "", 0, 0, "is this host able to run podvisord?",
     "Looks at programs, files, devices, cgroups and memory that the\n"
     "configuration names. One line each: ok, warn or FAIL with what to do.\n"
     "Exit code 1 when a line says FAIL.\n"},
    {"vms", "", 0, 0, "the VMs with asked, plugged and online sizes",
     "One line per pod. ASKED is what its containers need, PLUGGED what the "
     "VM\n"
     "has, ONLINE what the guest uses. Sizes that differ are being changed.\n"
     "  --watch         goes on, and prints the table again when it changes\n"
     "  --interval TIME how often it looks then, default 2s, at least 100ms\n"},
    {"plan", "[POD.yaml]", 0, 1, "what a pod's VM would do for containers",
     "A dry run: nothing is changed. Shows what would be done for each "
     "container,\n"
     "one after the other, as podvisord would do it, or why it would be "
     "refused.\n"
     "Without --pod it is a new VM on this configuration, with the "
     "manifest's\n"
     "annotations; with it, that pod's VM as it is now, and without "
     "containers\n"
     "what is still to be done. Exit code 1 when something would be refused; "
     "what\n"
     "is cut to a maximum is not, and a WARNING says so.\n"
     "  --container LIST  one container, such as cpus=4,memory=2Gi: its "
     "limits\n"
     "                    cpus and memory, its request cpu-request; may be\n"
     "                    given several times\n"
     "  --pod POD         an id, its beginning, or a pod's name\n"},
    {"run", "POD.yaml", 1, 1, "run a Kubernetes Pod manifest",
     "Pulls the images, runs the pod and starts its containers through the "
     "CRI\n"
     "socket, without Kubernetes. Prints the ids; on an error no pod stays.\n"
     "  --log-dir DIR   container logs, default <root_dir>/logs/<uid>, which\n"
     "                  `rm` removes; those elsewhere stay\n"},
    {"rm", "POD", 1, 1, "stop and remove a pod, and the logs of its run",
     "POD is an id, its beginning, or a pod's name. Logs that are not where\n"
     "`run` puts them by itself stay, as with the kubelet.\n"},
    {"logs", "POD [CONTAINER]", 1, 2, "what a container has written",
     "POD is an id, its beginning, or a pod's name; CONTAINER a name or the\n"
     "beginning of an id, needed where the pod has several. What went to\n"
     "standard error goes there.\n"
     "  --follow        goes on until the container has ended\n"},
    {"console", "POD", 1, 1, "the end of a VM's console",
     "POD is an id, its beginning, or a pod's name.\n"
     "  --lines N       how many lines, default 50\n"},
    {"config", "", 0, 0, "check and print the configuration in force",
     "  --default       print the default file, with comments, instead\n"},
};

struct Option {
  absl::string_view name;
  absl::string_view command;  // that takes it; "": all
  bool takes_value;
  absl::Status (*set)(const std::string& value, CtlArgs& args);
};

absl::Status SetLines(const std::string& value, CtlArgs& args) {
  if (absl::SimpleAtoi(value, &args.lines) && args.lines >= 1 &&
      args.lines <= 100'000) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("--lines takes a number up to 100000");
}

absl::Status SetInterval(const std::string& value, CtlArgs& args) {
  if (absl::ParseDuration(value, &args.interval) &&
      args.interval >= absl::Milliseconds(100) &&
      args.interval <= absl::Hours(1)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "--interval takes a time such as 500ms or 2s, from 100ms to 1h");
}

absl::Status AddContainer(const std::string& value, CtlArgs& args) {
  absl::StatusOr<ManifestContainer> container = ParseContainerOption(value);
  if (!container.ok()) return Annotate(container.status(), "--container");
  args.containers.push_back(*std::move(container));
  return absl::OkStatus();
}

template <std::string CtlArgs::*kField>
absl::Status SetText(const std::string& value, CtlArgs& args) {
  args.*kField = value;
  return absl::OkStatus();
}

template <bool CtlArgs::*kField>
absl::Status SetFlag(const std::string&, CtlArgs& args) {
  args.*kField = true;
  return absl::OkStatus();
}

constexpr Option kOptions[] = {
    {"--socket", "", true, SetText<&CtlArgs::socket>},
    {"--config", "", true, SetText<&CtlArgs::config>},
    {"--help", "", false, SetFlag<&CtlArgs::help>},
    {"-h", "", false, SetFlag<&CtlArgs::help>},
    {"--version", "", false, SetFlag<&CtlArgs::version>},
    {"--log-dir", "run", true, SetText<&CtlArgs::log_directory>},
    {"--lines", "console", true, SetLines},
    {"--default", "config", false, SetFlag<&CtlArgs::print_default>},
    {"--watch", "vms", false, SetFlag<&CtlArgs::watch>},
    {"--interval", "vms", true, SetInterval},
    {"--container", "plan", true, AddContainer},
    {"--pod", "plan", true, SetText<&CtlArgs::pod>},
    {"--follow", "logs", false, SetFlag<&CtlArgs::follow>},
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

absl::StatusOr<const Option*> FindOption(absl::string_view name) {
  std::vector<absl::string_view> names;
  for (const Option& option : kOptions) {
    if (option.name == name) return &option;
    names.push_back(option.name);
  }
  return UnknownWord("option", name, names);
}

// `rest`: what follows the word; the value is taken from its front unless the
// word has it.
absl::StatusOr<const Option*> TakeOption(const std::string& word,
                                         absl::Span<const std::string>& rest,
                                         CtlArgs& args) {
  const size_t equals = word.find('=');
  ASSIGN_OR_RETURN(const Option* const option,
                   FindOption(word.substr(0, equals)));
  std::string value;
  if (equals != std::string::npos) {
    value = word.substr(equals + 1);
    if (!option->takes_value) {
      return absl::InvalidArgumentError(
          absl::StrCat(option->name, " takes no value"));
    }
  } else if (option->takes_value && !rest.empty()) {
    value = rest.front();
    rest.remove_prefix(1);
  }
  if (option->takes_value && value.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(option->name, " needs a value"));
  }
  RETURN_IF_ERROR(option->set(value, args));
  return option;
}

absl::Status TakeOperand(const std::string& word, CtlArgs& args) {
  if (!args.command.empty()) {
    args.operands.push_back(word);
    return absl::OkStatus();
  }
  std::vector<absl::string_view> names;
  for (const CtlCommand& command : kCommands) {
    if (command.name == word) {
      args.command = word;
      return absl::OkStatus();
    }
    names.push_back(command.name);
  }
  return UnknownWord("command", word, names);
}

absl::Status CheckCommand(const CtlArgs& args,
                          absl::Span<const Option* const> options) {
  if (args.help || args.version) return absl::OkStatus();
  if (args.command.empty()) {
    return absl::InvalidArgumentError(
        "a command is needed; see podvisorctl --help");
  }
  const CtlCommand& command = *FindCommand(args.command);
  for (const Option* option : options) {
    if (option->command.empty() || option->command == command.name) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        command.name, " has no ", option->name, "; ", option->command, " has"));
  }
  const int count = static_cast<int>(args.operands.size());
  if (count < command.least_operands || count > command.most_operands) {
    return absl::InvalidArgumentError(
        command.operands.empty()
            ? absl::StrCat(command.name, " takes no operand")
            : absl::StrCat(command.name, " takes ", command.operands));
  }
  if (command.name == "plan" && count == 0 && args.containers.empty() &&
      args.pod.empty()) {
    return absl::InvalidArgumentError(
        "plan needs a POD.yaml, a --container or a --pod");
  }
  if (command.name == "plan" && count > 0 && !args.containers.empty()) {
    return absl::InvalidArgumentError(
        "plan takes a POD.yaml or --container, not both");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const CtlCommand> CtlCommands() { return kCommands; }

absl::StatusOr<CtlArgs> ParseCtlArgs(absl::Span<const std::string> words) {
  CtlArgs args;
  std::vector<const Option*> options;
  bool options_ended = false;
  while (!words.empty()) {
    const std::string& word = words.front();
    words.remove_prefix(1);
    if (options_ended || word.size() < 2 || word[0] != '-') {
      RETURN_IF_ERROR(TakeOperand(word, args));
    } else if (word == "--") {
      options_ended = true;
    } else {
      ASSIGN_OR_RETURN(options.emplace_back(), TakeOption(word, words, args));
    }
  }
  RETURN_IF_ERROR(CheckCommand(args, options));
  return args;
}

std::string CtlHelp(absl::string_view name) {
  const std::string options =
      "\nOptions:\n"
      "  --config FILE   default /etc/podvisor/podvisor.toml\n"
      "  --socket PATH   of podvisord; default: as the configuration says\n"
      "  --version       of this program\n"
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
        &help, "  %-21s %s\n",
        absl::StrCat(command.name, command.operands.empty() ? "" : " ",
                     command.operands),
        command.summary);
  }
  return absl::StrCat(help, options);
}

}  // namespace podvisor
