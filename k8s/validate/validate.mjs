// Validates the manifests of a folder: every document against its schema (types, required fields), no field that the API
// does not know, and the references between them. Problems are sentences: file, document, field, what is wrong.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import yaml from "yaml";

const require = createRequire(import.meta.url);
const models = path.dirname(require.resolve("kubernetes-models/package.json"));

// group/version/Kind → its schema's module and its declaration.
function modelOf(document) {
  const [group, version] = document.apiVersion.includes("/") ? document.apiVersion.split("/") : ["", document.apiVersion];
  const folder = path.join(models, group, version);
  return fs.existsSync(path.join(folder, `${document.kind}.js`)) ? path.join(folder, `${document.kind}.js`) : null;
}

// The fields of an interface, from its declaration file: { field: declaration file of its type, or null }.
const declared = new Map();
function fieldsOf(file) {
  if (declared.has(file)) return declared.get(file);
  const fields = {};
  declared.set(file, fields);
  const text = fs.readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const imports = {};
  for (const [, names, from] of text.matchAll(/import (?:type )?\{([^}]*)\} from "([^"]+)"/g)) {
    for (const name of names.split(",")) {
      const [original, alias] = name.trim().replace(/^type /, "").split(/ as /);
      const target = path.join(from.startsWith(".") ? path.dirname(file) : path.dirname(models), from);
      imports[alias ?? original] = `${target.replace(/\.js$/, "")}.d.ts`;
    }
  }
  const body = /export (?:declare )?interface \w+[^{]*\{([\s\S]*?)\n\}/.exec(text)?.[1];
  if (body === undefined) return (declared.set(file, null), null);
  for (const [, quoted, bare, type] of body.matchAll(/^ {4}(?:"([^"]+)"|(\w+))\??: ([^;]*);/gm)) {
    const name = Object.keys(imports).find((one) => new RegExp(`\\b${one}\\b`).test(type));
    fields[quoted ?? bare] = name ? imports[name] : null;
  }
  return fields;
}

function unknownFields(value, file, where, problems) {
  if (Array.isArray(value)) return value.forEach((one, i) => unknownFields(one, file, `${where}[${i}]`, problems));
  if (value === null || typeof value !== "object" || !fs.existsSync(file)) return;
  const fields = fieldsOf(file);
  if (fields === null || Object.keys(fields).length === 0) return; // a map, or a string in another form
  for (const [key, inner] of Object.entries(value)) {
    if (!(key in fields)) problems.push(`${where}.${key}: no such field`);
    else if (fields[key]) unknownFields(inner, fields[key], `${where}.${key}`, problems);
  }
}

async function checkSchema(document, problems) {
  const model = modelOf(document);
  if (!model) return problems.push(`kind ${document.apiVersion}/${document.kind} is unknown`);
  const { [document.kind]: Model } = await import(model);
  try {
    new Model(document).validate();
  } catch (error) {
    problems.push(error.message.replaceAll("data/", ""));
  }
  unknownFields(document, model.replace(/\.js$/, ".d.ts"), document.kind, problems);
}

const podOf = (document) => document.spec?.template?.spec;
const matches = (selector, labels) => Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value);

function checkReferences(documents, flagsOf, say) {
  const workloads = documents.filter((one) => podOf(one.document));
  const accounts = documents.filter((one) => one.document.kind === "ServiceAccount").map((one) => one.document.metadata.name);
  for (const one of workloads) {
    const { document } = one;
    const pod = podOf(document);
    const labels = document.spec.template.metadata?.labels;
    if (document.spec.selector && !matches(document.spec.selector.matchLabels, labels)) say(one, "spec.selector does not match the pod's labels");
    if (!accounts.includes(pod.serviceAccountName)) say(one, `there is no ServiceAccount ${pod.serviceAccountName}`);
    if (!pod.securityContext?.runAsNonRoot) say(one, "pods must run as another user than root (runAsNonRoot)");
    const volumes = (pod.volumes ?? []).map((volume) => volume.name);
    for (const container of pod.containers) {
      const ports = (container.ports ?? []).map((port) => port.containerPort);
      for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
        const port = container[probe]?.grpc?.port;
        if (port !== undefined && !ports.includes(port)) say(one, `${container.name}.${probe}: port ${port} is not one of the container's`);
      }
      for (const mount of container.volumeMounts ?? []) if (!volumes.includes(mount.name)) say(one, `${container.name} mounts ${mount.name}, which is no volume of the pod`);
      const binary = path.basename(container.command?.[0] ?? "");
      const known = flagsOf(binary);
      for (const flag of (container.args ?? []).filter((text) => text.startsWith("--"))) {
        if (known && !known.has(flag.split("=")[0])) say(one, `${container.name}: ${binary} has no flag ${flag}`);
      }
    }
  }
  const pods = workloads.map((one) => ({ labels: one.document.spec.template.metadata.labels, containers: podOf(one.document).containers }));
  for (const one of documents) {
    const { document } = one;
    const selector = document.kind === "Service" ? document.spec.selector : document.kind === "PodDisruptionBudget" ? document.spec.selector.matchLabels : undefined;
    if (!selector) continue;
    const found = pods.filter((pod) => matches(selector, pod.labels));
    if (found.length === 0) say(one, "spec.selector matches no pod");
    const names = found.flatMap((pod) => pod.containers.flatMap((container) => (container.ports ?? []).flatMap((port) => [port.name, port.containerPort])));
    for (const port of document.spec.ports ?? []) if (!names.includes(port.targetPort)) say(one, `targetPort ${port.targetPort} is no port of its pods`);
  }
}

// Problems of the manifests in `folder`; `flagsOf(binary)` → the flags it knows, or null when the binary is not at hand.
export async function validate(folder, flagsOf = () => null) {
  const problems = [];
  const files = fs.readdirSync(folder).filter((name) => /\.ya?ml$/.test(name)).sort();
  const documents = [];
  for (const file of files) {
    for (const parsed of yaml.parseAllDocuments(fs.readFileSync(path.join(folder, file), "utf8"))) {
      for (const error of parsed.errors) problems.push(`${file}: ${error.message}`);
      const document = parsed.toJS();
      if (document) documents.push({ file, document });
    }
  }
  const kustomization = documents.find((one) => one.document.kind === "Kustomization");
  const listed = kustomization?.document.resources ?? [];
  for (const file of files) if (file !== kustomization?.file && !listed.includes(file)) problems.push(`${file}: is not listed in kustomization.yaml`);
  for (const file of listed) if (!files.includes(file)) problems.push(`kustomization.yaml: there is no ${file}`);
  const objects = documents.filter((one) => one !== kustomization);
  const say = (one, what) => problems.push(`${one.file}: ${one.document.kind} ${one.document.metadata?.name}: ${what}`);
  for (const one of objects) {
    const found = [];
    await checkSchema(one.document, found);
    for (const what of found) say(one, what);
  }
  if (problems.length === 0) checkReferences(objects, flagsOf, say);
  return { problems, count: objects.length };
}
