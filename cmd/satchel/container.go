package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
)

// dockerVariables are the variables that select docker's daemon and credentials.
var dockerVariables = []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "XDG_RUNTIME_DIR"}

// inContainer changes a job so that it runs in a container. passed are variables of
// this process for the container. Docker takes the value of a variable that is given by
// name alone from its own environment.
func inContainer(j *job.Job, docker string, dockerArgs []string, image string, command, passed []string) error {
	if strings.HasPrefix(image, "-") {
		return &usageError{"--container: the name of an image cannot start with -"}
	}
	if j.Socket || len(j.Git) > 0 {
		return &usageError{"--socket and --git do not work with --container, because a container cannot reach the socket; name the secrets with --secret"}
	}
	args := []string{"run", "--rm", "-i"}
	b := j.Client.Bundle()
	for _, name := range slices.Concat(j.Secrets, j.Files) {
		if slices.Contains(dockerVariables, name) { // even if --allow names it
			return fmt.Errorf("secret %s has the name of a variable that docker itself uses; rename it", name)
		}
		if s, _ := b.Get(name); s.Delivery == bundle.DeliverFile || slices.Contains(j.Files, name) {
			return fmt.Errorf("secret %s is delivered as a file, which a container cannot read; deliver it in the environment", name)
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
