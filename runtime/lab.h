// A lab: workstations on this machine, each its own daemon, home and loopback address, in $BEAM_HOME/lab.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace beam::runtime {

struct LabWorkstation {
  std::string name;  // ws1, ws2, ...
  std::string home;
  std::string address;
};

class Lab {
 public:
  // ENOENT: none was made.
  static Result<Lab> open(const std::string& home);
  // Makes `count` workstations and starts their daemons. EEXIST: there is one already.
  static Result<Lab> make(const std::string& home, unsigned count);

  [[nodiscard]] const std::vector<LabWorkstation>& workstations() const { return workstations_; }
  // Null: no such workstation.
  [[nodiscard]] const LabWorkstation* find(const std::string& name) const;
  // Ends every sandbox and daemon, and removes all that was made.
  [[nodiscard]] Result<> take_down() const;

 private:
  Lab(std::string directory, std::vector<LabWorkstation> workstations)
      : directory_(std::move(directory)), workstations_(std::move(workstations)) {}
  std::string directory_;
  std::vector<LabWorkstation> workstations_;
};

// What a command of that workstation finds in its environment, added to this process's own.
void enter(const LabWorkstation& workstation);

}  // namespace beam::runtime
