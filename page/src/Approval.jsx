import { useState } from "react";

/** What an agent asks before it goes on: yes or no if that is all it wants to know, else words or JSON. */
export function Approval({ interrupt, resolve, cancel }) {
  const [answered, setAnswered] = useState(false);
  const answer = (give) => () => {
    setAnswered(true);
    give();
  };
  const yesOrNo = onlySwitch(interrupt.responseSchema);
  return (
    <section className="approval" aria-label="The agent asks">
      <p>{interrupt.message || interrupt.reason || "The agent waits for your answer."}</p>
      {yesOrNo ? (
        <p>
          <button type="button" className="yes" disabled={answered} onClick={answer(() => resolve({ [yesOrNo]: true }))}>
            Yes
          </button>
          <button type="button" disabled={answered} onClick={answer(() => resolve({ [yesOrNo]: false }))}>
            No
          </button>
        </p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const words = new FormData(event.currentTarget).get("answer");
            answer(() => resolve(meant(words)))();
          }}
        >
          <textarea name="answer" aria-label="Answer" rows={2} placeholder="Words or JSON" required />
          <p>
            <button type="submit" className="yes" disabled={answered}>
              Answer
            </button>
            <button type="button" disabled={answered} onClick={answer(() => cancel())}>
              Cancel
            </button>
          </p>
        </form>
      )}
    </section>
  );
}

/** The name of the one property of a schema, if it is true or false. */
function onlySwitch(schema) {
  const [only, ...others] = Object.entries(schema?.properties ?? {});
  return only?.[1]?.type === "boolean" && others.length === 0 ? only[0] : null;
}

function meant(words) {
  try {
    return JSON.parse(words);
  } catch {
    return words;
  }
}
