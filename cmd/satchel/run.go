package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/job"
)

const runHelp = `The job gets the secrets that are named, and of the runner's environment PATH,
HOME, LANG, TMPDIR, TERM, USER and TZ only. Values are masked in what it prints.
The exit code is the job's.

With --container the job is a container: docker gets the values in its environment
and is told their names, so none of them is in its arguments or in a file.
"docker inspect" shows the values to whoever may use docker, while the container
exists.

Examples:
  satchel run --secret NPM_TOKEN -- npm publish
  satchel run --secret DATABASE_URL --restart -- ./server
  satchel run --secret TLS_KEY --file TLS_KEY --signal HUP -- nginx -g 'daemon off;'
  satchel run --git GITHUB_TOKEN=https://github.com -- git fetch
  satchel run --container node:24 --secret NPM_TOKEN -- npm publish
  satchel run --container node:24 --docker-arg -v --docker-arg "$PWD:/src" -- ls /src
`

// timeoutUsage is the help of --timeout.
const timeoutUsage = "how `LONG` to try to reach the platform; with 0, until it answers"

func (p *program) runJob(ctx context.Context, args []string) error {
	flags := p.flags("run")
	where := flags.homeFlag()
	secrets := flags.list("secret", "a secret that the job gets; may be repeated")
	files := flags.list("file", "a secret that the job gets as a file, whose path is in NAME_FILE; may be repeated")
	allow := flags.list("allow", "a secret that is passed on although its name means something to programs, such as HTTPS_PROXY; may be repeated")
	pass := flags.list("pass", "a variable of the runner's environment that the job gets too; may be repeated")
	git := flags.list("git", "`SECRET=URL`: git in the job gets this secret as password for the place; may be repeated")
	socket := flags.Bool("socket", false, "serve the secrets, as they are then, on the socket in SATCHEL_SOCKET")
	restart := flags.Bool("restart", false, "start the job again when one of its secrets changes")
	sig := flags.String("signal", "", "send the job this `SIGNAL`, such as HUP, when one of its secrets changes")
	grace := flags.duration("grace", 10*time.Second, "how `LONG` the job has to end when it is told to; with 0 it is killed at once")
	limit := flags.duration("timeout", time.Minute, timeoutUsage)
	container := flags.String("container", "", "run the job in a container of this `IMAGE`")
	docker := flags.String("docker", cmp.Or(os.Getenv("DOCKER"), "docker"), "`COMMAND` that runs containers")
	dockerArgs := flags.list("docker-arg", "`ARGUMENT` for docker run; may be repeated")
	command, err := flags.parseLeading(args)
	if err != nil {
		return err
	}
	if len(command) == 0 && *container == "" {
		return flags.wrong("there is no command; write it behind --")
	}
	if *container == "" && (flags.given("docker") || flags.given("docker-arg")) {
		return flags.wrong("--docker and --docker-arg are for containers; give --container too")
	}
	if slices.Contains(*pass, adminTokenName) {
		return flags.wrong("--pass: the credential of an administrator is not for jobs")
	}
	if err := cmp.Or(flags.checkNames("secret", *secrets), flags.checkNames("file", *files), flags.checkNames("allow", *allow)); err != nil {
		return err
	}
	rotate := job.Leave
	switch {
	case *restart && flags.given("signal"):
		return flags.wrong("--restart and --signal exclude each other")
	case *restart:
		rotate = job.Restart
	case flags.given("signal"):
		if rotate, err = onSignal(*sig); err != nil {
			return flags.wrong("--signal: " + err.Error())
		}
	}
	credentials, err := gitCredentials(*git)
	if err != nil {
		return flags.wrong(err.Error())
	}

	layers, settings, err := where.layers()
	if err != nil {
		return err
	}
	client, err := p.connect(ctx, layers, *limit, satchel.Options{})
	if err != nil {
		return err
	}
	passed := p.set(*pass)
	j := job.Job{
		Client: client, Secrets: settings.leaveOut(*secrets, p), Files: settings.leaveOut(*files, p), AllowNames: *allow,
		PassEnv: append(job.DefaultPassEnv(), passed...), Git: credentials,
		Socket: *socket, OnRotate: rotate, Grace: max(*grace, 1), Stdin: p.in, Stdout: p.out, Stderr: p.err, Logger: p.logger(flagNames),
	}
	if _, isFile := p.in.(*os.File); *restart && !isFile {
		j.Stdin = nil // a restarted job cannot read again what was copied
	}
	if *container == "" {
		j.Path, j.Args = command[0], command[1:]
	} else if err := inContainer(&j, *docker, *dockerArgs, *container, command, passed); err != nil {
		return err
	}
	if given := slices.Concat(j.Secrets, j.Files); len(given) > 0 {
		p.sayHidden(client.Bundle(), given...)
	}
	return exit(runFresh(ctx, client, j))
}

// runFresh runs a job while the client keeps its secrets fresh.
func runFresh(ctx context.Context, client *satchel.Client, j job.Job) (int, error) {
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { _ = client.Run(refreshing) }) // ends with its context only
	return j.Run(ctx)
}

// exit returns what ends the program with the code of a job. Where a job could
// not be started, that is what a shell says, or else codeNoJob. A job that went
// well and whose output was lost is a failure.
func exit(code int, err error) error {
	switch {
	case err == nil && code == 0:
		return nil
	case err == nil:
		return exitCode(code)
	case code == -1:
		code = codeNoJob
	}
	return &jobError{max(code, codeFailed), err}
}

// set returns those of the names of --pass that are set. One that is not may be a
// slip.
func (p *program) set(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		_, ok := os.LookupEnv(name)
		if !ok {
			p.note("%s is not set, and not passed", name)
		}
		return !ok
	})
}
