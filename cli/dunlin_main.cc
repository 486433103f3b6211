// dunlin: the command line. The only place that sees CLI11; what commands do is in commands.cc,
// local.cc, check.cc and watch.cc.
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include <CLI/CLI.hpp>

#include "common/log.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 failed or needs a person, 2 bad input or unknown run, 3 not finished "
    "yet,\n"
    "4 coordinator or database unreachable, 5 refused, 130 Ctrl-C.";

std::string UserName() {
  if (const passwd* user = getpwuid(geteuid()); user != nullptr) return user->pw_name;
  return "unknown";
}

struct Everything {
  GlobalOptions global;
  StartOptions start;
  LocalOptions local;
  GateOptions gate;
  NewOptions made;
  TestOptions test;
  ThrottleOptions throttle;
  CheckOptions check;
  std::vector<std::string> sets, files;
  std::string run, reason, role;
  std::string folder = "db/data_migrations";
  std::string timeout = "60s";
  int64_t stop_after = 0, from_revision = 0;
  int step = 0;
  bool all_events = false, apply_twice = false;
  BaselineOptions baseline;
  UndoOptions undo;
  std::function<int()> chosen;
};

void AddGlobals(CLI::App& app, GlobalOptions& global) {
  app.add_option("--coordinator", global.coordinator, "HOST:PORT[,HOST:PORT…] of the coordinators")
      ->envname("DUNLIN_COORDINATOR");
  app.add_flag("--insecure", global.insecure, "allow plain text to coordinators not on loopback")
      ->envname("DUNLIN_INSECURE");
  app.add_option("--database", global.database,
                 "DSN or @FILE of a database that `dunlin local` works on")
      ->envname("DUNLIN_DATABASE");
  app.add_option("--operator", global.operator_name,
                 "who you are, for the log of events (default: your user name)");
  app.add_option("-o,--output", global.output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
}

CLI::App* AddCommand(CLI::App& app, const std::string& name, const std::string& what,
                     const std::string& example) {
  CLI::App* command = app.add_subcommand(name, what);
  command->footer("Example: " + example + "\n" + kExitCodes);
  command->fallthrough();
  return command;
}

bool ParseSets(Everything& all) {
  for (const std::string& set : all.sets) {
    const size_t at = set.find('=');
    if (at == std::string::npos || at == 0) {
      std::cerr << "dunlin: --set takes NAME=VALUE, not '" << set << "'\n";
      return false;
    }
    all.start.parameters[set.substr(0, at)] = set.substr(at + 1);
  }
  all.start.files = all.files;
  all.start.stop_after_rows = all.stop_after;
  all.start.reason = all.reason;
  return true;
}

void AddSchemaWait(CLI::App* command, Everything& all) {
  command
      ->add_option("--schema-wait", all.start.schema_wait,
                   "how long to wait for a schema migration that is at work on the target (Rails, "
                   "golang-migrate, Flyway, Liquibase …, or an exclusive lock on the table) before "
                   "nothing is started (exit 5); none: do not look")
      ->capture_default_str();
}

void AddStartOptions(CLI::App* command, Everything& all) {
  command->add_option("--stop-after", all.stop_after, "pause after about so many rows (a canary)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--priority", all.start.priority,
                   "share of the target beside other runs, 1 to 1000 (default 100)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--set", all.sets, "NAME=VALUE of a declared parameter; may be repeated");
  AddSchemaWait(command, all);
  command->add_option("--reason", all.reason, "why, for the log of events");
}

void AddDeployOptions(CLI::App* command, Everything& all) {
  command->add_flag("--wait", all.start.wait, "show progress until the end; Ctrl-C detaches");
  command->add_flag("--dry-run", all.start.dry_run, "say what would start, and change nothing");
  command->add_option("--at", all.start.at,
                      "when to begin: 22:00, '2026-11-23 22:00' (here), 2026-11-23T22:00:00Z, +2h");
}

void AddGate(CLI::App& app, Everything& all) {
  CLI::App* gate =
      AddCommand(app, "gate",
                 "fail until migrations are finished on all their targets, by the targets' own "
                 "records: exit 0 "
                 "open, 3 keep waiting (also what was never started), 1 needs a person",
                 "dunlin gate 20261123120000_x --soak 7d --wait --timeout 2h");
  gate->add_option("MIGRATION", all.gate.migrations, "names, versions, files, or a folder")
      ->required();
  gate->add_option("--soak", all.gate.soak,
                   "how long it must have been finished: a duration, or 'file' for what each file "
                   "says");
  gate->add_flag("--wait", all.gate.wait, "wait, telling what it waits for, until it is open");
  gate->add_option("--timeout", all.gate.timeout, "give up waiting after this (exit 3)");
  gate->add_option("--confirmed-within", all.gate.confirmed_within,
                   "how old the target's own word may be before it is asked again")
      ->capture_default_str();
  gate->callback([&all] { all.chosen = [&all] { return RunGate(all.global, all.gate); }; });
}

void AddThrottle(CLI::App& app, Everything& all) {
  CLI::App* throttle = AddCommand(
      app, "throttle",
      "change the limits of a live run, or of all, while they run; old and new are recorded",
      "dunlin throttle all --ratio 0.5 --for 90m --reason 'sale until noon'");
  throttle->add_option("RUN", all.throttle.run, "name, version or run id; or all")->required();
  throttle->add_option("--concurrency", all.throttle.concurrency,
                       "shards in work at once, 1 to 256");
  throttle->add_option("--rows-per-second", all.throttle.rows_per_second,
                       "over all agents; or none");
  throttle->add_option("--batch-time", all.throttle.batch_time,
                       "how long a batch takes, at most half of the target's deadlock_timeout");
  throttle->add_option("--ratio", all.throttle.ratio,
                       "the share of its time that each worker works, over 0 up to 1");
  throttle->add_option("--for", all.throttle.lasts,
                       "how long; what was before comes back by itself. Without it: for good");
  throttle->add_option("--reason", all.throttle.reason, "why");
  throttle->callback(
      [&all] { all.chosen = [&all] { return RunThrottle(all.global, all.throttle); }; });
}

void AddDriving(CLI::App& app, Everything& all) {
  CLI::App* start = AddCommand(app, "start", "start migrations; returns at once",
                               "dunlin start db/data_migrations/20261123120000_x.yaml --wait");
  start->add_option("FILE", all.files, "migration files")->required();
  AddStartOptions(start, all);
  AddDeployOptions(start, all);
  start->callback([&all] {
    all.chosen = [&all] { return ParseSets(all) ? RunStart(all.global, all.start) : kUsage; };
  });

  CLI::App* up = AddCommand(
      app, "up",
      "start every migration of a folder that never had a run on its target, in version order; any "
      "number of hosts may do so at once. A failed, cancelled or undone one is reported (exit 1), "
      "a changed file refused (exit 5)",
      "dunlin up --reason 'deploy 1742' && dunlin gate db/data_migrations --wait --timeout 2h");
  up->add_option("DIR", all.folder, "the folder")->capture_default_str();
  AddStartOptions(up, all);
  AddDeployOptions(up, all);
  up->callback([&all] {
    all.chosen = [&all] {
      return ParseSets(all) ? RunUp(all.global, all.folder, all.start) : kUsage;
    };
  });

  CLI::App* local =
      AddCommand(app, "local", "run migrations in this process, against one database",
                 "dunlin local 20261123120000_x.yaml --database postgresql://localhost/app");
  local->add_option("FILE", all.files, "migration files")->required();
  AddStartOptions(local, all);
  local->add_option("--slots", all.local.slots, "shards at once, at most")
      ->check(CLI::Range(1, 256));
  local->add_option("-v,--verbosity", all.local.verbosity, "log more (1 to 3)");
  local->callback([&all] {
    all.chosen = [&all] {
      if (!ParseSets(all)) return static_cast<int>(kUsage);
      all.local.start = all.start;
      return RunLocal(all.global, all.local);
    };
  });

  CLI::App* pause = AddCommand(
      app, "pause", "stop a run between two batches; returns when nothing of it runs any more",
      "dunlin pause 20261123120000 --reason 'checkout is slow'");
  pause->add_option("RUN", all.run, "name, version or run id; or all")->required();
  pause->add_option("--reason", all.reason, "why");
  pause->add_option("--timeout", all.timeout, "how long to wait for PAUSED")->capture_default_str();
  pause->callback([&all] {
    all.chosen = [&all]() -> int {
      const auto timeout = dunlin::ParseDuration(all.timeout);
      if (!timeout.ok()) return Complain(timeout.status());
      if (all.run == "all") return RunPauseAll(all.global, all.reason, *timeout);
      return RunPause(all.global, all.run, all.reason, *timeout);
    };
  });
  AddThrottle(app, all);
  CLI::App* resume =
      AddCommand(app, "resume",
                 "go on from the checkpoints; unlike start it waits for no schema migration, which "
                 "may be waiting for the run",
                 "dunlin resume 20261123120000");
  resume->add_option("RUN", all.run, "name, version or run id; or all: what `pause all` paused")
      ->required();
  resume->add_option("--reason", all.reason, "why");
  resume->add_option("--stop-after", all.stop_after, "pause again after about so many rows")
      ->check(CLI::NonNegativeNumber);
  resume->callback([&all] {
    all.chosen = [&all] {
      if (all.run == "all" && all.stop_after > 0) {
        std::cerr << "dunlin: --stop-after is for one run; say which\n";
        return static_cast<int>(kUsage);
      }
      if (all.run == "all") return RunResumeAll(all.global, all.reason);
      return RunResume(all.global, all.run, all.reason, all.stop_after);
    };
  });
  CLI::App* cancel = AddCommand(app, "cancel", "end a run; what is done stays done",
                                "dunlin cancel 20261123120000 --reason 'wrong column'");
  cancel->add_option("RUN", all.run, "name, version or run id")->required();
  cancel->add_option("--reason", all.reason, "why");
  cancel->callback(
      [&all] { all.chosen = [&all] { return RunCancel(all.global, all.run, all.reason); }; });
}

void AddLife(CLI::App& app, Everything& all) {
  CLI::App* approve = AddCommand(
      app, "approve", "let a critical run begin, as another operator than the one who started it",
      "dunlin approve 20261123120000 --reason 'read with Ada, tested on staging'");
  approve->add_option("RUN", all.run, "name, version or run id")->required();
  approve->add_option("--reason", all.reason, "why, for the log of events");
  approve->callback(
      [&all] { all.chosen = [&all] { return RunApprove(all.global, all.run, all.reason); }; });

  CLI::App* redo = AddCommand(
      app, "redo",
      "do a run that has ended again, as a new run; refused (exit 5) when rows would be changed "
      "twice, unless the file says `idempotent: true`",
      "dunlin redo 20261123120000 --reason 'the source table was repaired'");
  redo->add_option("RUN", all.run, "name, version or run id")->required();
  redo->add_option("--reason", all.reason, "why, for the log of events");
  AddSchemaWait(redo, all);
  redo->add_flag("--apply-twice", all.apply_twice,
                 "yes, apply it to rows that the former run has changed already");
  redo->callback([&all] {
    all.chosen = [&all] {
      return RunRedo(all.global, {.run = all.run,
                                  .reason = all.reason,
                                  .schema_wait = all.start.schema_wait,
                                  .apply_twice = all.apply_twice});
    };
  });

  CLI::App* undo =
      AddCommand(app, "undo",
                 "take a run back, as its file's `undo:` says: a run of its own, which leaves, "
                 "counts and lists "
                 "rows that were changed since. Gates and dunlin.require() fail from then on",
                 "dunlin undo 20261123120000 --reason 'wrong exchange rate' --wait");
  undo->add_option("RUN", all.undo.run, "name, version or run id")->required();
  undo->add_option("--reason", all.undo.reason, "why, for the log of events");
  undo->add_flag("--wait", all.undo.wait, "show progress until the end; Ctrl-C detaches");
  undo->callback([&all] { all.chosen = [&all] { return RunUndo(all.global, all.undo); }; });

  CLI::App* forget = AddCommand(
      app, "forget",
      "drop the before-images and shard rows of a finished run in its target, to free their space; "
      "it cannot be undone then, and its record stays",
      "dunlin forget 20261123120000 --reason 'live for a month'");
  forget->add_option("RUN", all.run, "name, version or run id")->required();
  forget->add_option("--reason", all.reason, "why, for the log of events");
  forget->callback(
      [&all] { all.chosen = [&all] { return RunForget(all.global, all.run, all.reason); }; });

  CLI::App* adopt = AddCommand(app, "adopt",
                               "take a target over from its ledger: the store was lost, another "
                               "drove it before (also `dunlin "
                               "local`), or the database was restored. Nothing of the former store "
                               "commits there from then on; "
                               "unfinished runs are PAUSED",
                               "dunlin adopt orders --reason 'from local to coordinators'");
  adopt->add_option("TARGET", all.run, "as the agents name it")->required();
  adopt->add_option("--reason", all.reason, "why, for the record here and in the target")
      ->required();
  adopt->callback(
      [&all] { all.chosen = [&all] { return RunAdopt(all.global, all.run, all.reason); }; });

  CLI::App* baseline = AddCommand(
      app, "baseline",
      "record the migrations of a folder up to a version as done elsewhere, without running them: "
      "for a new database, or one that was restored or is far behind",
      "dunlin baseline --through 20261101090000 --target tenant_42 --reason 'made from a template "
      "of 1 November'");
  baseline->add_option("DIR", all.baseline.folder, "the folder")->capture_default_str();
  baseline->add_option("--through", all.baseline.through, "the last version, or its name")
      ->required();
  baseline->add_option("--target", all.baseline.target,
                       "only on this target (default: on all that each file names)");
  baseline->add_option("--reason", all.baseline.reason, "how you know that they were done")
      ->required();
  baseline->callback(
      [&all] { all.chosen = [&all] { return RunBaseline(all.global, all.baseline); }; });
}

void AddQuarantine(CLI::App& app, Everything& all) {
  CLI::App* quarantine =
      app.add_subcommand("quarantine", "rows that were set aside because they failed alone");
  quarantine->require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& what,
                       const std::string& example) {
    CLI::App* command = AddCommand(*quarantine, name, what, example);
    command->add_option("RUN", all.run, "name, version or run id")->required();
    return command;
  };
  CLI::App* list = add("list", "which rows, and why", "dunlin quarantine list 20261123120000");
  list->callback(
      [&all] { all.chosen = [&all] { return RunQuarantineList(all.global, all.run); }; });
  CLI::App* retry = add("retry", "try exactly those rows again, each once, then go on with the run",
                        "dunlin quarantine retry 20261123120000");
  retry->add_option("--reason", all.reason, "why, for the log of events");
  retry->callback([&all] {
    all.chosen = [&all] { return RunQuarantineRetry(all.global, all.run, all.reason); };
  });
  CLI::App* accept =
      add("accept", "leave those rows as they are, and go on with the run, to its end",
          "dunlin quarantine accept 20261123120000 --reason 'test accounts, to be deleted'");
  accept->add_option("--reason", all.reason, "why, for the log of events")->required();
  accept->callback([&all] {
    all.chosen = [&all] { return RunQuarantineAccept(all.global, all.run, all.reason); };
  });
  CLI::App* exported =
      add("export", "their keys as CSV", "dunlin quarantine export 20261123120000 > keys.csv");
  exported->add_option("--step", all.step, "only of this step, 1 is the first")
      ->check(CLI::PositiveNumber);
  exported->callback([&all] {
    all.chosen = [&all] { return RunQuarantineExport(all.global, all.run, all.step); };
  });
}

void AddWriting(CLI::App& app, Everything& all) {
  CLI::App* made = AddCommand(
      app, "new",
      "write a migration and its test from a template, with comments that say how to finish them",
      "dunlin new backfill_cancelled_on --table reservations");
  made->add_option("NAME", all.made.name,
                   "such as backfill_cancelled_on; its version is put before")
      ->required();
  made->add_option("--table", all.made.table, "the table whose rows it goes over");
  made->add_option("--kind", all.made.kind,
                   "backfill: fill a column; copy: rows into another table, with a trigger that "
                   "keeps it up to date; delete; insert: a row of another table for each; "
                   "normalise: values into a table of their own; counter: count rows of another "
                   "table; once: a few statements without batches")
      ->check(
          CLI::IsMember({"backfill", "copy", "delete", "insert", "normalise", "counter", "once"}))
      ->capture_default_str();
  made->add_option("--dir", all.made.folder, "where to write them")->capture_default_str();
  made->add_flag("!--no-test", all.made.with_test, "only the migration");
  made->callback([&all] { all.chosen = [&all] { return RunNew(all.global, all.made); }; });

  CLI::App* test = AddCommand(
      app, "test",
      "run the tests beside migrations (NAME.test.yaml) in scratch databases: at once, in batches "
      "of 1, 2 and 1000 rows, in several shards, interrupted at every step, and twice if the file "
      "says `idempotent: true`; all must end with the same rows",
      "dunlin test db/data_migrations/20261123120000_x.yaml");
  test->add_option("FILE", all.test.files, "migration files, or their tests")->required();
  test->add_option("--server", all.test.server,
                   "DSN or @FILE of a server where the role may create databases; without it a "
                   "scratch server is started from the PostgreSQL that is installed here")
      ->envname("DUNLIN_TEST_SERVER");
  test->callback([&all] { all.chosen = [&all] { return RunTest(all.global, all.test); }; });
}

void AddCheck(CLI::App& app, Everything& all) {
  CLI::App* check = AddCommand(
      app, "check",
      "validate files; with --database also against it: plans, locks, triggers, grants; batches "
      "are tried and rolled back, to show what they do to rows and to estimate time, WAL and disk. "
      "Exit 1 when something is wrong",
      "dunlin check db/data_migrations/*.yaml --database postgresql://localhost/app");
  check->add_option("FILE", all.files, "migration files")->required();
  check->add_option("--set", all.sets, "NAME=VALUE of a declared parameter; may be repeated");
  check->add_flag("--show-rows", all.check.show_rows,
                  "show values of rows also when the output is not a terminal");
  check->callback([&all] {
    all.chosen = [&all] {
      if (!ParseSets(all)) return static_cast<int>(kUsage);
      all.check.files = all.files;
      all.check.parameters = all.start.parameters;
      return RunCheck(all.global, all.check);
    };
  });
}

void AddLooking(CLI::App& app, Everything& all) {
  CLI::App* status = AddCommand(app, "status",
                                "what needs a person, whom runs harm, what works, what waits and "
                                "why, and how to stop everything; or where one run stands",
                                "dunlin status 20261123120000 -o json");
  status->add_option("RUN", all.run, "name, version or run id; without: all live runs");
  status->callback([&all] { all.chosen = [&all] { return RunStatus(all.global, all.run); }; });
  CLI::App* list = AddCommand(app, "list", "all runs, newest first", "dunlin list");
  list->callback([&all] { all.chosen = [&all] { return RunList(all.global); }; });
  CLI::App* show = AddCommand(app, "show", "the whole story of a run on one screen",
                              "dunlin show 20261123120000");
  show->add_option("RUN", all.run, "name, version or run id")->required();
  show->callback([&all] { all.chosen = [&all] { return RunShow(all.global, all.run); }; });
  CLI::App* events = AddCommand(app, "events", "who did what, when, why and from where",
                                "dunlin events 20261123120000");
  events->add_option("RUN", all.run, "name, version or run id")->required();
  events->add_flag("--all", all.all_events, "also leases and shards");
  events->callback(
      [&all] { all.chosen = [&all] { return RunEvents(all.global, all.run, all.all_events); }; });
  CLI::App* watch = AddCommand(app, "watch", "live progress; reconnects by itself",
                               "dunlin watch 20261123120000");
  watch->add_option("RUN", all.run, "name, version or run id; without: all live runs");
  watch->add_option("--from", all.from_revision, "go on after this revision")
      ->check(CLI::NonNegativeNumber);
  watch->callback(
      [&all] { all.chosen = [&all] { return RunWatch(all.global, all.run, all.from_revision); }; });
  CLI::App* agents = AddCommand(app, "agents", "who is connected", "dunlin agents");
  agents->callback([&all] { all.chosen = [&all] { return RunAgents(all.global); }; });
  CLI::App* ledger =
      app.add_subcommand("ledger", "the record that Dunlin keeps in a target database");
  ledger->require_subcommand(1);
  CLI::App* ledger_sql =
      AddCommand(*ledger, "sql", "print idempotent SQL for schema dunlin and its grants",
                 "dunlin ledger sql --role dunlin_agent | psql -d app");
  ledger_sql->add_option("--role", all.role, "the role that agents connect as");
  ledger_sql->callback([&all] { all.chosen = [&all] { return RunLedgerSql(all.role); }; });
}

int Main(int argc, char** argv) {
  Everything all;
  CLI::App app{"Runs large data migrations on PostgreSQL without supervision."};
  app.set_version_flag("--version", "dunlin 0.1.0");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(std::string("Begin with: dunlin local FILE --database DSN\n") + kExitCodes);
  AddGlobals(app, all.global);
  AddDriving(app, all);
  AddLife(app, all);
  AddQuarantine(app, all);
  AddGate(app, all);
  AddWriting(app, all);
  AddCheck(app, all);
  AddLooking(app, all);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (all.global.operator_name.empty()) all.global.operator_name = UserName();
  InitLogging("dunlin", all.local.verbosity, all.local.verbosity == 0);
  return all.chosen();
}

}  // namespace
}  // namespace dunlin::cli

int main(int argc, char** argv) { return dunlin::cli::Main(argc, argv); }
