package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
)

// dockerVariables tell docker where its daemon is, and how to log in there.
var dockerVariables = []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "XDG_RUNTIME_DIR"}

// inContainer makes a job run in a container. passed are variables of this process
// that the container gets too. Docker takes the value of a variable from its own
// environment where it is told no more than the name.
func inContainer(j *job.Job, docker string, dockerArgs []string, image string, command, passed []string) error {
	if strings.HasPrefix(image, "-") {
		return &usageError{"--container: the name of an image cannot start with -"}
	}
	if j.Socket || len(j.Git) > 0 {
		return &usageError{"--socket and --git do not work with --container: a container does not see the socket; name the secrets with --secret"}
	}
	args := []string{"run", "--rm", "-i"}
	b := j.Client.Bundle()
	for _, name := range slices.Concat(j.Secrets, j.Files) {
		if slices.Contains(dockerVariables, name) { // even if --allow names it
			return fmt.Errorf("secret %s would mean something to docker itself; rename it", name)
		}
		if s, _ := b.Get(name); s.Delivery == bundle.DeliverFile || slices.Contains(j.Files, name) {
			return fmt.Errorf("secret %s is delivered as a file, which a container does not see; have it delivered by environment", name)
		}
		args = append(args, "-e", name)
	}
	for _, name := range passed {
		args = append(args, "-e", name)
	}
	args = append(append(args, dockerArgs...), image)
	j.Path, j.Args = docker, append(args, command...)
	j.PassEnv = append(j.PassEnv, dockerVariables...)
	return nil
}
