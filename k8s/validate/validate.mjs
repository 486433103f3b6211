// Checks a k8s/ folder without a cluster: types and unknown fields of every object, and what the objects say of each other, of the
// binaries' flags and of the restricted Pod Security Standard. Returns problems as "FILE: FIELD: what is wrong".
//
//   node validate.mjs FOLDER            its base and overlays; with DUNLIN_BIN, flags are checked against the binaries' --help
//   node validate.mjs --rendered FILE            what `kubectl kustomize` printed of a base
//   node validate.mjs --rendered-complete FILE   the same of an overlay, which brings all that is needed
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, readdirSync, realpathSync} from 'node:fs';
import {createRequire} from 'node:module';
import {basename, dirname, join, normalize, relative} from 'node:path';
import {fileURLToPath} from 'node:url';

// The packages are installed under build/, not beside this file.
const load = createRequire(
  join(process.env.DUNLIN_K8S_MODULES ?? dirname(fileURLToPath(import.meta.url)), 'package.json'));
const YAML = load('yaml');

const MODELS = {
  'v1': load('kubernetes-models/v1'),
  'apps/v1': load('kubernetes-models/apps/v1'),
  'batch/v1': load('kubernetes-models/batch/v1'),
  'networking.k8s.io/v1': load('kubernetes-models/networking.k8s.io/v1'),
  'policy/v1': load('kubernetes-models/policy/v1'),
};

// kustomize has no model; these are the fields that k8s/ uses, each with the fields of its entries.
const KUSTOMIZATION = {
  apiVersion: null,
  kind: null,
  namespace: null,
  resources: null,
  images: ['name', 'newName', 'newTag', 'digest'],
  secretGenerator: ['name', 'files'],
  configMapGenerator: ['name', 'files'],
};

// Plain text is allowed in so many words only.
const LOOPBACK = /^(localhost|127\.[0-9.]+|\[::1\]):/;

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const hasLabels = (labels, wanted) => Object.entries(wanted ?? {}).every(([k, v]) => labels?.[k] === v);

// A view of `value` that remembers which fields are read. The models' validators read all that they know and, silently, nothing
// else; so what was not read is unknown to Kubernetes.
function watched(value, path, unread) {
  if (typeof value !== 'object' || value === null) return value;
  const seen = new Set();
  const children = new Map();
  unread.push(() => Object.keys(value).filter((key) => !seen.has(key)).map((key) => `${path}/${key}`));
  return new Proxy(value, {
    get(target, key) {
      seen.add(key);
      if (!Object.hasOwn(target, key)) return Reflect.get(target, key);
      if (!children.has(key)) children.set(key, watched(target[key], `${path}/${String(key)}`, unread));
      return children.get(key);
    },
  });
}

// The names, aliases and arity of a binary's flags, from its --help.
function flagsOf(help) {
  const flags = new Map();
  for (const line of help.split('\n')) {
    const match = /^ {2}(-[^ ]+)(.*)$/.exec(line);
    if (!match) continue;
    const takesValue = /^ (TEXT|INT|UINT|FLOAT)/.test(match[2]);
    for (const name of match[1].split(',')) flags.set(name, takesValue);
  }
  return flags;
}

class Checker {
  constructor(bin) {
    this.bin = bin;
    this.problems = [];
    this.flags = new Map();
  }

  complain(file, field, what) {
    this.problems.push(`${file}: ${field}: ${what}`);
  }

  parse(file, text) {
    const objects = [];
    for (const document of YAML.parseAllDocuments(text, {uniqueKeys: true})) {
      for (const error of [...document.errors, ...document.warnings])
        this.complain(file, '/', error.message.split('\n')[0]);
      if (document.errors.length > 0) continue;
      const object = document.toJS();
      if (object === null || typeof object !== 'object') {
        this.complain(file, '/', 'an empty document');
        continue;
      }
      objects.push({file, object});
    }
    return objects;
  }

  checkModel({file, object}) {
    const where = `${object.kind}/${object.metadata?.name}`;
    const Model = MODELS[object.apiVersion]?.[object.kind];
    if (Model === undefined) {
      this.complain(file, `${where}/kind`, `no model of ${object.apiVersion} ${object.kind}`);
      return;
    }
    const unread = [];
    try {
      Model.prototype.validate.call(watched(new Model(object), where, unread));
    } catch (error) {
      for (const {instancePath, message, params} of error.errors ?? [])
        this.complain(file, where + instancePath, `${message}${params?.allowedValues ? `: ${params.allowedValues}` : ''}`);
      if (!error.errors) this.complain(file, where, error.message);
    }
    for (const field of unread.flatMap((list) => list())) this.complain(file, field, 'unknown field');
    if (!object.metadata?.name) this.complain(file, `${object.kind}/metadata/name`, 'missing');
  }

  // What the objects of one rendering say of each other. `provided` maps kind/name to its keys, or is null when an overlay is to
  // bring them.
  checkTogether(objects, provided) {
    const byName = new Map();
    for (const entry of objects) {
      const key = `${entry.object.kind}/${entry.object.metadata?.name}`;
      if (byName.has(key)) this.complain(entry.file, key, 'defined twice');
      byName.set(key, entry);
    }
    const pods = objects.filter(({object}) => object.spec?.template?.spec).map(({file, object}) => ({
      file, where: `${object.kind}/${object.metadata?.name}/spec/template`, template: object.spec.template, owner: object}));
    const selects = (labels) => pods.filter(({template}) => hasLabels(template.metadata?.labels, labels));
    const needed = [];
    for (const pod of pods) this.checkPod(pod, byName, provided, needed);
    for (const {file, object} of objects) {
      const where = `${object.kind}/${object.metadata?.name}/spec`;
      if (object.kind === 'Deployment') {
        if (!hasLabels(object.spec.template.metadata?.labels, object.spec.selector?.matchLabels))
          this.complain(file, `${where}/selector`, "does not match its own template's labels");
      } else if (object.kind === 'Service') {
        this.checkService(file, where, object, selects(object.spec.selector));
      } else if (object.kind === 'PodDisruptionBudget') {
        if (selects(object.spec.selector?.matchLabels).length === 0)
          this.complain(file, `${where}/selector`, 'matches no pod template');
      } else if (object.kind === 'NetworkPolicy') {
        this.checkPolicy(file, where, object, selects);
      }
    }
    return needed;
  }

  checkService(file, where, service, targets) {
    if (targets.length === 0) this.complain(file, `${where}/selector`, 'matches no pod template');
    for (const [i, port] of (service.spec.ports ?? []).entries()) {
      const target = port.targetPort ?? port.port;
      for (const {template} of targets) {
        const ports = template.spec.containers.flatMap((container) => container.ports ?? []);
        if (!ports.some((p) => p.name === target || p.containerPort === target))
          this.complain(file, `${where}/ports/${i}/targetPort`, `no container has a port ${target}`);
      }
    }
  }

  checkPolicy(file, where, policy, selects) {
    const own = selects(policy.spec.podSelector?.matchLabels);
    if (own.length === 0) this.complain(file, `${where}/podSelector`, 'matches no pod template');
    for (const [i, rule] of (policy.spec.ingress ?? []).entries()) {
      for (const [j, {port}] of (rule.ports ?? []).entries()) {
        const known = own.every(({template}) => template.spec.containers.some(
          (container) => (container.ports ?? []).some((p) => p.name === port || p.containerPort === port)));
        if (!known) this.complain(file, `${where}/ingress/${i}/ports/${j}/port`, `no container has a port ${port}`);
      }
      for (const [j, {podSelector}] of (rule.from ?? []).entries()) {
        // The operator's pods are not part of Dunlin.
        const labels = podSelector?.matchLabels;
        if (labels && !labels['dunlin-operator'] && selects(labels).length === 0)
          this.complain(file, `${where}/ingress/${i}/from/${j}/podSelector`, 'matches no pod template');
      }
    }
    for (const [i, rule] of (policy.spec.egress ?? []).entries()) {
      for (const [j, {podSelector}] of (rule.to ?? []).entries()) {
        if (!podSelector) continue;
        const peers = selects(podSelector.matchLabels);
        if (peers.length === 0)
          this.complain(file, `${where}/egress/${i}/to/${j}/podSelector`, 'matches no pod template');
        for (const [k, {port}] of (rule.ports ?? []).entries()) {
          if (!peers.every(({template}) => template.spec.containers.some(
            (container) => (container.ports ?? []).some((p) => p.name === port || p.containerPort === port))))
            this.complain(file, `${where}/egress/${i}/ports/${k}/port`, `no container there has a port ${port}`);
        }
      }
    }
  }

  checkPod({file, where, template}, byName, provided, needed) {
    const spec = template.spec;
    const at = `${where}/spec`;
    if (!byName.has(`ServiceAccount/${spec.serviceAccountName}`))
      this.complain(file, `${at}/serviceAccountName`, `no ServiceAccount ${spec.serviceAccountName}`);
    if (spec.automountServiceAccountToken !== false)
      this.complain(file, `${at}/automountServiceAccountToken`, 'must be false');
    if (spec.securityContext?.runAsNonRoot !== true)
      this.complain(file, `${at}/securityContext/runAsNonRoot`, 'must be true');
    if (!(spec.securityContext?.runAsUser > 0))
      this.complain(file, `${at}/securityContext/runAsUser`, 'must be a number above 0');
    if (spec.securityContext?.seccompProfile?.type !== 'RuntimeDefault')
      this.complain(file, `${at}/securityContext/seccompProfile/type`, 'must be RuntimeDefault');
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC'])
      if (spec[field]) this.complain(file, `${at}/${field}`, 'is not allowed');
    for (const [i, constraint] of (spec.topologySpreadConstraints ?? []).entries()) {
      if (!hasLabels(template.metadata?.labels, constraint.labelSelector?.matchLabels))
        this.complain(file, `${at}/topologySpreadConstraints/${i}/labelSelector`, "does not match the template's labels");
    }
    const volumes = new Map();
    for (const [i, volume] of (spec.volumes ?? []).entries()) {
      volumes.set(volume.name, volume);
      const [kind, name] = volume.secret ? ['Secret', volume.secret.secretName]
        : volume.configMap ? ['ConfigMap', volume.configMap.name] : [];
      if (!kind) continue;
      needed.push({file, kind, name});
      const resource = byName.get(`${kind}/${name}`);
      if (provided !== null && !provided.has(`${kind}/${name}`) && !resource)
        this.complain(file, `${at}/volumes/${i}`, `no ${kind} ${name}`);
    }
    const mounted = new Set();
    for (const [i, container] of (spec.containers ?? []).entries()) {
      for (const mount of container.volumeMounts ?? []) mounted.add(mount.name);
      this.checkContainer(file, `${at}/containers/${i}`, container, volumes, byName, provided);
    }
    for (const name of volumes.keys())
      if (!mounted.has(name)) this.complain(file, `${at}/volumes`, `${name} is mounted nowhere`);
  }

  checkContainer(file, at, container, volumes, byName, provided) {
    const security = container.securityContext ?? {};
    if (security.allowPrivilegeEscalation !== false)
      this.complain(file, `${at}/securityContext/allowPrivilegeEscalation`, 'must be false');
    if (security.readOnlyRootFilesystem !== true)
      this.complain(file, `${at}/securityContext/readOnlyRootFilesystem`, 'must be true');
    if (!same(security.capabilities?.drop, ['ALL']))
      this.complain(file, `${at}/securityContext/capabilities/drop`, 'must be [ALL]');
    for (const what of ['cpu', 'memory'])
      if (container.resources?.requests?.[what] === undefined)
        this.complain(file, `${at}/resources/requests/${what}`, 'missing');
    if (container.resources?.limits?.memory === undefined)
      this.complain(file, `${at}/resources/limits/memory`, 'missing');
    const ports = container.ports ?? [];
    for (const name of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      const probe = container[name];
      for (const kind of ['grpc', 'httpGet', 'tcpSocket']) {
        const port = probe?.[kind]?.port;
        if (port !== undefined && !ports.some((p) => p.containerPort === port || (kind !== 'grpc' && p.name === port)))
          this.complain(file, `${at}/${name}/${kind}/port`, `the container has no port ${port}`);
      }
    }
    for (const [i, mount] of (container.volumeMounts ?? []).entries())
      if (!volumes.has(mount.name)) this.complain(file, `${at}/volumeMounts/${i}/name`, `no volume ${mount.name}`);
    this.checkArguments(file, at, container, volumes, byName, provided);
  }

  checkArguments(file, at, container, volumes, byName, provided) {
    const binary = basename(container.command?.[0] ?? '');
    if (!['dunlin-coordinator', 'dunlin-agent'].includes(binary)) {
      this.complain(file, `${at}/command`, 'must begin with dunlin-coordinator or dunlin-agent');
      return;
    }
    if (container.command.length !== 1)
      this.complain(file, `${at}/command`, 'must be the binary alone; flags go to args');
    const given = new Map();
    for (const [i, arg] of (container.args ?? []).entries()) {
      const match = /^(--?[a-z][a-z-]*)(?:=(.*))?$/.exec(arg);
      if (!match) {
        this.complain(file, `${at}/args/${i}`, `'${arg}' must be --flag or --flag=value`);
        continue;
      }
      const [, flag, value] = match;
      given.set(flag, [...(given.get(flag) ?? []), {i, value}]);
      this.checkFlag(file, `${at}/args/${i}`, binary, flag, value);
      const dsn = flag === '--store' ? value : flag === '--target' ? value?.replace(/^[^=]*=/, '') : undefined;
      if (dsn !== undefined && !dsn.startsWith('@'))
        this.complain(file, `${at}/args/${i}`, 'a connection string must come from a file (@FILE), not stand in an argument');
      const path = dsn?.startsWith('@') ? dsn.slice(1) : flag === '--migrations-dir' ? value : undefined;
      if (path !== undefined)
        this.checkPath(file, `${at}/args/${i}`, container, volumes, byName, provided, path, flag === '--migrations-dir');
      if (flag === '--listen' && !(container.ports ?? []).some((p) => value.endsWith(`:${p.containerPort}`)))
        this.complain(file, `${at}/args/${i}`, `${value} is none of the container's ports`);
      if (flag === '--coordinator') {
        for (const address of value.split(',')) {
          const [host, port] = address.split(':');
          const service = byName.get(`Service/${host.split('.')[0]}`)?.object;
          if (!service?.spec.ports.some((p) => p.port === Number(port)))
            this.complain(file, `${at}/args/${i}`, `no Service ${host} with port ${port}`);
        }
      }
    }
    const value = (flag) => given.get(flag)?.[0].value;
    const address = value('--listen') ?? value('--coordinator') ?? '';
    if (!address.split(',').every((part) => LOOPBACK.test(part)) && !given.has('--insecure'))
      this.complain(file, `${at}/args`, '--insecure is missing: addresses other than loopback are plain text for now');
    if (binary === 'dunlin-agent') {
      for (const flag of ['--coordinator', '--target'])
        if (!given.has(flag)) this.complain(file, `${at}/args`, `${flag} is missing`);
      if (!given.has('--migrations-dir') && !given.has('--any-migration'))
        this.complain(file, `${at}/args`, '--migrations-dir is missing');
    } else if (!given.has('--store')) {
      this.complain(file, `${at}/args`, '--store is missing');
    }
  }

  checkFlag(file, field, binary, flag, value) {
    if (!this.bin) return;
    if (!this.flags.has(binary))
      this.flags.set(binary, flagsOf(execFileSync(join(this.bin, binary), ['--help'], {encoding: 'utf8'})));
    const flags = this.flags.get(binary);
    if (!flags.has(flag)) this.complain(file, field, `${binary} has no flag ${flag}`);
    else if (flags.get(flag) && value === undefined) this.complain(file, field, `${flag} needs a value`);
    else if (!flags.get(flag) && value !== undefined) this.complain(file, field, `${flag} takes no value`);
  }

  checkPath(file, field, container, volumes, byName, provided, path, isFolder) {
    const mount = (container.volumeMounts ?? []).find(
      ({mountPath}) => path === mountPath || path.startsWith(`${mountPath}/`));
    if (!mount) {
      this.complain(file, field, `no volume is mounted at ${path}`);
      return;
    }
    const volume = volumes.get(mount.name);
    const name = volume?.secret ? `Secret/${volume.secret.secretName}` : `ConfigMap/${volume?.configMap?.name}`;
    const resource = byName.get(name)?.object;
    const keys = resource ? Object.keys({...resource.data, ...resource.stringData}) : provided?.get(name);
    const key = path.slice(mount.mountPath.length + 1);
    if (keys && !isFolder && !keys.includes(key)) this.complain(file, field, `${name} has no key ${key}`);
  }

  // A folder with a kustomization.yaml: its own objects, those of the folders it names, and what it generates.
  readKustomization(root, folder) {
    const name = join(folder, 'kustomization.yaml');
    const file = relative(root, name);
    if (!existsSync(name)) {
      this.complain(relative(root, folder), 'kustomization.yaml', 'missing');
      return {objects: [], provided: new Map()};
    }
    const kustomization = this.parse(file, readFileSync(name, 'utf8'))[0]?.object ?? {};
    for (const [field, value] of Object.entries(kustomization)) {
      if (!(field in KUSTOMIZATION)) this.complain(file, `/${field}`, 'unknown field');
      for (const [i, entry] of (KUSTOMIZATION[field] ? value : []).entries())
        for (const key of Object.keys(entry))
          if (!KUSTOMIZATION[field].includes(key)) this.complain(file, `/${field}/${i}/${key}`, 'unknown field');
    }
    if (kustomization.kind !== 'Kustomization') this.complain(file, '/kind', 'must be Kustomization');
    if (kustomization.apiVersion !== 'kustomize.config.k8s.io/v1beta1')
      this.complain(file, '/apiVersion', 'must be kustomize.config.k8s.io/v1beta1');
    const objects = [];
    const provided = new Map();
    const listed = new Set(['kustomization.yaml']);
    for (const [i, resource] of (kustomization.resources ?? []).entries()) {
      const path = normalize(join(folder, resource));
      listed.add(normalize(resource));
      if (!existsSync(path)) {
        this.complain(file, `/resources/${i}`, `there is no ${resource}`);
      } else if (/\.ya?ml$/.test(resource)) {
        objects.push(...this.parse(relative(root, path), readFileSync(path, 'utf8')));
      } else {
        const below = this.readKustomization(root, path);
        objects.push(...below.objects);
        for (const [key, keys] of below.provided) provided.set(key, keys);
      }
    }
    for (const found of readdirSync(folder))
      if (/\.ya?ml$/.test(found) && !listed.has(found))
        this.complain(relative(root, join(folder, found)), '/', 'is not listed in kustomization.yaml');
    for (const [field, kind] of [['secretGenerator', 'Secret'], ['configMapGenerator', 'ConfigMap']]) {
      for (const [i, {name: generated, files}] of (kustomization[field] ?? []).entries()) {
        const pairs = (files ?? []).map((pair) => (pair.includes('=') ? pair.split('=') : [basename(pair), pair]));
        provided.set(`${kind}/${generated}`, pairs.map(([key]) => key));
        for (const [j, [, source]] of pairs.entries()) {
          // Secrets are written by whoever installs; everything else is in the repository.
          if (kind === 'ConfigMap' && !existsSync(join(folder, source)))
            this.complain(file, `/${field}/${i}/files/${j}`, `there is no ${source}`);
        }
      }
    }
    return {objects, provided};
  }
}

// Everything below `root`, which is laid out like k8s/.
export function validate(root, {bin} = {}) {
  const checker = new Checker(bin);
  const base = checker.readKustomization(root, join(root, 'base'));
  for (const entry of base.objects) checker.checkModel(entry);
  if (checker.problems.length > 0) return checker.problems;  // wrong shapes would only mislead what follows
  const needed = checker.checkTogether(base.objects, null);
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const {file, kind, name} of needed)
    if (!readme.includes(`\`${name}\``)) checker.complain(file, `${kind}/${name}`, 'README.md does not say that it is needed');
  for (const overlay of readdirSync(join(root, 'overlays'))) {
    const {objects, provided} = checker.readKustomization(root, join(root, 'overlays', overlay));
    checker.checkTogether(objects, provided);
  }
  return [...new Set(checker.problems)];
}

// What kustomize printed: `complete` when it is an overlay's, which has all that is needed.
export function validateRendered(file, text, {bin, complete = false} = {}) {
  const checker = new Checker(bin);
  const objects = checker.parse(file, text);
  for (const entry of objects) checker.checkModel(entry);
  if (objects.length === 0) checker.complain(file, '/', 'nothing was rendered');
  if (checker.problems.length === 0) checker.checkTogether(objects, complete ? new Map() : null);
  return checker.problems;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const options = {bin: process.env.DUNLIN_BIN || undefined};
  const [first, second] = process.argv.slice(2);
  const problems = first === '--rendered' || first === '--rendered-complete'
    ? validateRendered(second, readFileSync(second, 'utf8'), {...options, complete: first === '--rendered-complete'})
    : validate(first, options);
  for (const problem of problems) console.error(problem);
  process.exit(problems.length > 0 ? 1 : 0);
}
