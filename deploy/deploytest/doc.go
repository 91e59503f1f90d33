// Package deploytest checks the demonstration deployment, docker-compose.yml and
// the files of deploy/ that belong to it, against each other and against the code.
//
// It has tests only. They load the compose file with the library that Docker
// Compose itself is built on, the configurations of keytrail as keytrail does, and the
// other files with every key known, and then hold that what one file names the
// other has: files, services, ports, topics, plugins and their properties.
//
// Alerts, dashboard and runbook name only metrics that exist, and promtool tests them where
// it may be fetched. Policies for AWS are compared with the calls in the code, and systemd
// reads its unit where it is installed.
//
// "make compose-test" runs the containers. These tests need no container engine; image
// tags are checked for being pinned, not for being there.
package deploytest
