const WORKFLOWS_MAX = 10_000;

/**
 * Workflows that lately took an update, so are probably open: an update alone costs Temporal less than one with a start
 * (4 % of a busy entity's rate). A guess: one that has closed meanwhile answers 'not found', and is started again.
 */
export class OpenWorkflows {
  private readonly ids = new Set<string>();

  has(workflowId: string): boolean {
    return this.ids.has(workflowId);
  }

  add(workflowId: string): void {
    this.ids.delete(workflowId);
    this.ids.add(workflowId);
    if (this.ids.size <= WORKFLOWS_MAX) return;
    const oldest = this.ids.values().next();
    if (!oldest.done) this.ids.delete(oldest.value);
  }

  remove(workflowId: string): void {
    this.ids.delete(workflowId);
  }
}
