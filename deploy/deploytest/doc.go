// Package deploytest checks the demonstration deployment, docker-compose.yml and
// the files of deploy/ that it mounts, against each other and against the code.
//
// It has tests only. They load the compose file with the library that Docker
// Compose itself is built on, deploy/keytrail.yaml as keytrail does, and the
// other files with every key known, and then hold that what one file names the
// other has: files, services, ports, topics, plugins and their properties.
//
// What it cannot show is that the containers run: that takes a container
// engine, which the tests neither have nor want. Image tags are checked for
// being pinned, not for being there.
package deploytest
