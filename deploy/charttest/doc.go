// Package charttest checks the Helm chart in deploy/helm/keytrail: it renders the chart with
// Helm's engine over several values, and holds the result to the schemas of Kubernetes, to
// its level "restricted" of Pod Security, and to keytrail's own check of the configuration. It
// is a module apart because Helm and Kubernetes are large; "make chart" runs it.
package charttest
