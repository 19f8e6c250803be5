// Package job runs programs with the secrets that they need, and masks all secrets
// of the client in the output of the programs.
//
//	j := job.Job{Client: client, Path: "make", Args: []string{"deploy"},
//		Secrets: []string{"DEPLOY_TOKEN"}, Stdout: os.Stdout, Stderr: os.Stderr}
//	code, err := j.Run(ctx) // the program's exit code
//
// Start with [Job] and [Job.Run]. A job gets only the secrets that it names, as
// variables or as private files, and a few of this process's variables. Its secrets
// come from a [Source], usually a satchel client. Values that are rotated while the
// program runs are masked too, and reach the program in one of these ways:
//
//   - [Job.OnRotate] starts the program again ([Restart]) or sends it a signal
//     ([Signal]);
//   - [Job.Socket] serves the current values on a unix socket;
//   - [Job.Git] gives git the current value as a password; the runner's program then
//     calls [GitCredentialHelper].
//
// In the source, job.go has the settings, run.go one run from the first process to
// the last, plan.go the environment and files of each process, and guard_unix.go and
// sweep_unix.go the removal of what is left when this process is killed.
package job
