// How is the exchange asked, and how does it say no?

export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.outcome = problem.outcome ?? "";
    this.problem = problem;
    this.status = status;
  }
}

export class Api {
  constructor() {
    this.token = "";
  }

  get(path) {
    return this.#ask("GET", path);
  }

  post(path, body) {
    return this.#ask("POST", path, body);
  }

  remove(path) {
    return this.#ask("DELETE", path);
  }

  async #ask(method, path, body) {
    const headers = {};
    if (body !== undefined) headers["content-type"] = "application/json";
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    let told = {};
    try {
      told = text ? JSON.parse(text) : {};
    } catch {
      // A proxy in between may answer with a page of its own.
      if (answer.ok) throw new Refused({ detail: "the answer is no JSON" }, answer.status);
    }
    if (!answer.ok) throw new Refused(told, answer.status);
    return told;
  }
}
